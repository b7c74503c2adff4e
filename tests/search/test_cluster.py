import dataclasses
import os
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from search.cluster import (
    _private_options,
    object_store_bytes,
    plain_arrays,
    prepare_environment,
    ray_instance,
    sweep,
)
from search.cluster_check import check_cluster
from search.lock import hold
from tests.small_search import ROOT, small_spec
from tests.tiny import tiny_encoded, tiny_encoder
from trainable.allocator import allocator_environment, is_active
from trainable.errors import UsageError
from trainable.model import PristineWeights

MIB = 2**20


@pytest.fixture
def environment(monkeypatch):
    """`os.environ` without Ray's variables, restored afterwards."""
    for name in list(os.environ):
        if name.startswith(("RAY_", "TUNE_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return os.environ


def test_a_private_instance_gets_a_token_of_its_own_and_writes_none_to_home(
    environment, monkeypatch
):
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    prepare_environment(private=True)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert len(environment["RAY_AUTH_TOKEN"]) == 64
    assert environment["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] == "1"
    assert environment["RAY_AIR_NEW_OUTPUT"] == "0"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    before = environment["RAY_AUTH_TOKEN"]
    prepare_environment(private=True)
    assert environment["RAY_AUTH_TOKEN"] == before


def test_a_ray_that_was_imported_before_keeps_its_mode(environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", sys)
    prepare_environment(private=True)
    assert environment["RAY_AUTH_MODE"] == "disabled"


def test_workers_of_a_private_instance_find_our_packages(environment):
    environment["PYTHONPATH"] = "/somewhere"
    prepare_environment(private=False)
    assert environment["PYTHONPATH"] == "/somewhere"
    prepare_environment(private=True)
    prepare_environment(private=True)
    assert environment["PYTHONPATH"] == f"{ROOT}{os.pathsep}/somewhere"


def test_on_a_cluster_the_users_authentication_counts(environment):
    prepare_environment(private=False)
    assert environment["RAY_AUTH_MODE"] == "disabled"
    environment["RAY_AUTH_MODE"] = "token"
    prepare_environment(private=False)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in environment


def test_scratch_folders_of_killed_searches_are_swept(tmp_path):
    dead, live, young, other = (
        tmp_path / name for name in ("lts-dead", "lts-live", "lts-young", "else")
    )
    for folder in (dead, live, young, other):
        (folder / "ray").mkdir(parents=True)
    with hold(live):
        for folder in (dead, live, other):
            os.utime(folder, (0, 0))
        sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["else", "lts-live", "lts-young"]


def answering(reply):
    """The address of a server that sends `reply` to whoever connects."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(reply)
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"SSH-2.0-OpenSSH"])
def test_what_is_no_ray_cluster_is_told_at_once(reply):
    address = answering(reply)
    with pytest.raises(UsageError) as caught:
        check_cluster(address)
    assert str(caught.value) == (
        f"what listens at {address} is no Ray cluster: give the HOST:PORT that "
        "`ray start --head` printed, or leave --address out"
    )


def test_a_grpc_server_passes(monkeypatch):
    check_cluster(answering(b"\0\0\x06\4\0\0\0\0\0\0\5\0\0\0\1"))
    monkeypatch.setenv("RAY_ADDRESS", answering(b"\0\0\x06\4\0\0\0\0\0"))
    check_cluster("auto")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    check_cluster(answering(b"no plain text"))


def with_tokens(data, num_bytes):
    tokens = np.broadcast_to(np.int32(0), num_bytes // 4)
    return dataclasses.replace(data, train=dataclasses.replace(data.train, token_ids=tokens))


def test_the_object_store_holds_the_data_twice_and_keeps_within_shared_memory():
    tiny = tiny_encoded()
    assert object_store_bytes(tiny, 0, 10_000 * MIB) == 100 * MIB
    large = with_tokens(tiny, 200 * MIB)
    assert 464 * MIB <= object_store_bytes(large, 0, 10_000 * MIB) < 465 * MIB
    assert object_store_bytes(large, 0, 400 * MIB) == 360 * MIB
    # a container's 64 MiB is of no use: Ray falls back to the disk for all of it
    assert object_store_bytes(large, 0, 64 * MIB) > 464 * MIB
    assert object_store_bytes(tiny, 430 * MIB, 10_000 * MIB) >= 494 * MIB
    assert object_store_bytes(tiny, 0, 64 * MIB) == 100 * MIB


def test_memory_maps_become_plain_arrays_over_the_same_pages(tmp_path):
    data = tiny_encoded()
    np.save(tmp_path / "ids.npy", data.train.token_ids)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    split = dataclasses.replace(data.train, token_ids=mapped)
    plain = plain_arrays(dataclasses.replace(data, train=split))
    assert type(plain.train.token_ids) is np.ndarray
    assert np.shares_memory(plain.train.token_ids, mapped)
    assert plain.fingerprint == data.fingerprint


def test_trials_on_a_gpu_keep_their_allocator(tmp_path):
    options = _private_options(small_spec(tmp_path, gpus_per_trial=1), tiny_encoded(), 0, tmp_path)
    assert options["runtime_env"] is None
    options = _private_options(small_spec(tmp_path), tiny_encoded(), 0, tmp_path)
    variables = allocator_environment(os.environ)
    assert options["runtime_env"] == ({"env_vars": variables} if variables else None)


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_workers_keep_jemallocs_pages_the_driver_and_ray_itself_do_not(tmp_path):
    if not allocator_environment(os.environ):
        pytest.skip("no jemalloc in ray's wheel")

    def malloc_conf(pid):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return [text for text in variables if text.startswith(b"MALLOC_CONF")]

    with ray_instance(small_spec(tmp_path), tiny_encoded()):
        import ray

        @ray.remote(num_cpus=1)
        class Worker:
            def allocator(self):
                maps = Path("/proc/self/maps").read_text()
                return "libjemalloc" in maps, os.environ["MALLOC_CONF"]

        assert ray.get(Worker.remote().allocator.remote()) == (
            True,
            "dirty_decay_ms:-1,muzzy_decay_ms:-1",
        )
        raylets = [p.pid for p in psutil.Process().children() if "raylet" in p.name()]
        assert raylets
        assert all(malloc_conf(pid) == [] for pid in raylets)
        is_active.cache_clear()
        assert not is_active()
        assert "LD_PRELOAD" not in os.environ


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_trials_read_data_and_weights_where_the_object_store_holds_them(tmp_path):
    weights = PristineWeights.load(str(tiny_encoder(tmp_path / "encoder")))
    with ray_instance(small_spec(tmp_path), tiny_encoded(), weights_bytes=weights.num_bytes):
        import ray

        @ray.remote(num_cpus=1)
        def copied(data, weights):
            arrays = {**data.train.arrays, **weights.state}
            return {n for n, a in arrays.items() if a.flags.owndata or a.flags.writeable}

        shared = ray.put(plain_arrays(tiny_encoded())), ray.put(weights)
        assert ray.get(copied.remote(*shared)) == set()
