"""Tests of the room that asks judges."""
