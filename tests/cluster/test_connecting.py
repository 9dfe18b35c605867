"""A Ray cluster that is not there is said at once, or within a minute."""

import socket
import time

import pytest
import ray

from cluster.start import check_listens, connected
from cluster.topology import plan
from conf.load import load_run_config
from tests.cluster.heads import free_port


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}", "localhost:{}"])
def test_a_closed_port_is_refused_with_what_to_do(form: str) -> None:
    address = form.format(free_port())
    with pytest.raises(ConnectionError) as caught:
        check_listens(address)
    assert str(caught.value).startswith(
        f"no Ray cluster at cluster.ray_address={address}: start one with `ray start --head`"
    )


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConnectionError, match=r"no Ray cluster at cluster\.ray_address=no-such-host\.invalid:6379"):
        check_listens("no-such-host.invalid:6379")


def test_an_open_port_is_left_to_ray() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_listens(f"127.0.0.1:{server.getsockname()[1]}")
        check_listens(f"ray://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", ["auto", "head", "127.0.0.1:port", "other://127.0.0.1:1"])
def test_what_is_no_host_and_port_is_left_to_ray(address: str) -> None:
    check_listens(address)


def test_a_run_that_cannot_join_its_cluster_ends_at_once() -> None:
    config = load_run_config(["recipe=smoke", f"cluster.ray_address=127.0.0.1:{free_port()}"])
    placement = plan(config.cluster, config.rollout, config.learner, config.weights)
    started = time.monotonic()
    with pytest.raises(ConnectionError, match="no Ray cluster at"), connected(config, placement):
        pass
    assert time.monotonic() - started < 5.0


@pytest.mark.slow
def test_a_port_that_is_not_rays_is_given_up_within_a_minute() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        config = load_run_config(["recipe=smoke", f"cluster.ray_address={address}"])
        placement = plan(config.cluster, config.rollout, config.learner, config.weights)
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=f"no Ray cluster at .*={address}"), connected(config, placement):
            pass
    assert time.monotonic() - started < 75.0
    assert not ray.is_initialized()
