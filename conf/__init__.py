"""Run settings: Hydra composes the YAML here, pydantic checks it once, everyone reads it. Imports no room."""
