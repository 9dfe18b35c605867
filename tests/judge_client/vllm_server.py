"""vLLM's own OpenAI server with a tiny model that has learned nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from rollout.families.tiny_qwen_vl import TinyModelSize, create_tiny_qwen_vl
from tests.cluster.heads import free_port

MODEL = "tiny-judge"
# Left to itself a model that knows nothing pads the JSON of a schema until its tokens run out.
_NO_PADDING = '{"backend": "xgrammar", "disable_any_whitespace": true}'


@contextmanager
def vllm_server(folder: Path, *, key: str) -> Iterator[str]:
    """Its base URL, for as long as the context lasts; the model and the log are put into ``folder``."""
    create_tiny_qwen_vl(folder / "model", size=TinyModelSize(), seed=0)
    port = free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder / "model"),
        "--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1",
        "--port", str(port), "--structured-outputs-config", _NO_PADDING,
    ]  # fmt: skip
    environment = {
        **os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_API_KEY": key, "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT) as server,
    ):
        try:
            while not _is_healthy(port):
                # The wait for the end of the process is the pause between two looks.
                ended = _has_ended(server, within_s=0.5)
                assert not ended, log.read_text(encoding="utf-8")[-3000:]
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def num_tokens_generated(url: str) -> int:
    """Tokens the server has generated since its start."""
    with closing(HTTPConnection(url.split("/")[2], timeout=20)) as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    (line,) = [line for line in lines if line.startswith("vllm:generation_tokens_total{")]
    return int(float(line.rpartition(" ")[2]))


def _is_healthy(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


def _has_ended(process: subprocess.Popen[bytes], *, within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True
