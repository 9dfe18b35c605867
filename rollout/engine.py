"""The vLLM engine behind a small door: text and pictures in, sampled tokens with log-probs out.

Everything Arbiter needs of vLLM is here and in ``engine_prompts.py`` and ``weights/vllm_*.py`` beside it, so that an
upgrade is these files.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from vllm import SamplingParams
from vllm.config.weight_transfer import WeightTransferConfig
from vllm.distributed.weight_transfer.base import WeightTransferInitRequest, WeightTransferUpdateRequest
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.output_processor import RequestOutputCollector
from vllm.v1.executor import Executor
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from conf.schema import SamplingConfig
from rollout.engine_prompts import RenderedPrompt, engine_prompt
from rollout.families.base import EngineInput
from rollout.types import FinishReason
from rollout.worker_types import EngineOptions

T = TypeVar("T")

OnEnd = Callable[[int, "EngineCompletion"], None]
"""Told of each completion as it ends: the index of its request, and what was sampled."""

BAN = -100.0
"""vLLM's strongest logit bias: e^-100 is nothing beside any other token."""
HEALTH_CHECK_S = 1.0
"""How often a pending control call looks whether the engine's process still lives."""
NO_INTERIM_OUTPUT = 1_000_000
"""Tokens between two outputs of one sequence: after its first token, vLLM reports only its end."""
CPU_BATCHED_TOKENS = 4096
"""Prompt tokens one CPU forward pass may hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRequest:
    """One prompt to be completed ``num_completions`` times."""

    request_id: str
    prompt: RenderedPrompt
    num_completions: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSampling:
    """How the completions of a batch are drawn, and what is told of them."""

    config: SamplingConfig
    banned_token_ids: Sequence[int]
    watched_token_ids: Sequence[int] = ()
    repetition_penalty: float = 1.0
    needs_logprobs: bool = True

    @property
    def tells_logprobs(self) -> bool:
        """Whether vLLM is asked for any."""
        return self.needs_logprobs or bool(self.watched_token_ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineCompletion:
    """One sampled sequence; ``token_ids`` and ``logprobs`` are ``[T]``."""

    token_ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    """nan where the batch needs none."""
    watched_logprobs: NDArray[np.float32]
    """``[T, W]``, of the tokens that are watched."""
    finish_reason: FinishReason


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOutput:
    """What came of one request."""

    prompt_token_ids: NDArray[np.int32]
    """``[P]``, media placeholders expanded by vLLM."""
    completions: tuple[EngineCompletion, ...]
    policy_version: int
    """Of the weights that sampled them."""
    num_cached_tokens: int
    """Of the prompt, found computed."""


class VllmEngine:
    """One asynchronous vLLM engine."""

    def __init__(self, options: EngineOptions, *, processor_options: Mapping[str, int]) -> None:
        self._engine = AsyncLLM.from_engine_args(_engine_args(options, processor_options))
        # Held while a batch is handed over and while weights change: one would resume what the other paused.
        self._admission = asyncio.Lock()
        self._solitude = asyncio.Lock()
        """Held by a batch that runs alone, from its first token to its last."""
        self._policy_version = 0
        self._num_batches = 0

    async def _while_alive(self, call: Awaitable[T]) -> T:
        """Await a call into the engine's process, and raise when that process dies instead of waiting forever.

        vLLM raises from requests that are running, but a control call to a dead process never returns.
        """
        task = asyncio.ensure_future(call)
        try:
            while not (await asyncio.wait({task}, timeout=HEALTH_CHECK_S))[0]:
                await self._engine.check_health()
            return task.result()
        finally:
            task.cancel()  # changes nothing unless the wait was given up

    async def render(self, prompt: EngineInput) -> RenderedPrompt:
        """Tokenise a prompt and cut its media into patches by vLLM's own processor, in a thread of vLLM's.

        Raises:
            ValueError: Its text alone is longer than the model.
        """
        rendered: list[RenderedPrompt] = await self._engine.renderer.render_cmpl_async([engine_prompt(prompt)])
        return rendered[0]

    async def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        sampling: BatchSampling,
        on_end: OnEnd | None = None,
        runs_alone: bool = False,
    ) -> list[EngineOutput]:
        """Complete a batch; outputs come in the order of ``requests``, each completion at its end to ``on_end``.

        The scheduler is held until the whole batch has been handed over: otherwise the arrival times would
        decide which sequences share a forward pass, and rounding would differ from run to run. Batches that run
        alone take turns, so that even batches prepared side by side repeat bit for bit.
        """
        if not requests:
            return []
        async with self._solitude if runs_alone else nullcontext():
            return await self._generate(requests, sampling=sampling, on_end=on_end)

    async def generate_in_turn(
        self, first: Sequence[EngineRequest], then: Sequence[EngineRequest], *, sampling: BatchSampling
    ) -> tuple[list[EngineOutput], list[EngineOutput]]:
        """Complete ``first``, and after them ``then``, which go on from what the first left in the caches.

        Handed over together they would not share: where a pass has no room left for a picture, vLLM begins with the
        text before it, and what has begun no longer looks into the cache. Nothing is handed over, and no weights are
        changed, in between. ``first`` may have ``num_tokens_per_pass`` together, or be one: so much is kept of media.
        """
        async with self._solitude, self._counted():
            async with self._admission:
                version = self._policy_version
                begun = await _collected(await self._hand_over(first, sampling), version, sampling)
                streams = await self._hand_over(then, sampling)
            return begun, await _collected(streams, version, sampling)

    @property
    def num_tokens_per_pass(self) -> int:
        """Prompt tokens that one forward pass takes, and media tokens that are kept for the requests that follow."""
        return self._engine.vllm_config.scheduler_config.max_num_batched_tokens

    async def num_encoded(self) -> int:
        """Pictures and videos the vision tower has seen since the last call; for options that count them."""
        seen = await self._while_alive(self._engine.collective_rpc("get_encoder_timing_stats"))
        return sum(int(one["num_encoder_calls"]) for by_request in seen for one in by_request.values())

    async def _generate(
        self, requests: Sequence[EngineRequest], *, sampling: BatchSampling, on_end: OnEnd | None
    ) -> list[EngineOutput]:
        async with self._counted():
            async with self._admission:
                version = self._policy_version
                streams = await self._hand_over(requests, sampling)
            return await _collected(streams, version, sampling, on_end=on_end)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        """Count a batch as running; the first of several side by side finds empty caches."""
        async with self._admission:
            if self._num_batches == 0:
                # What is cached depends on what ran before, and with it how prompts share forward passes; a
                # resumed run would then differ from an undisturbed one in the last bits.
                await self.drop_caches()
            self._num_batches += 1
        try:
            yield
        finally:
            self._num_batches -= 1

    async def _hand_over(
        self, requests: Sequence[EngineRequest], sampling: BatchSampling
    ) -> list[RequestOutputCollector]:
        """Give requests to the held scheduler, and let it go."""
        await self._while_alive(self._engine.pause_generation(mode="keep", clear_cache=False))
        streams: list[RequestOutputCollector] = []
        try:
            for request in requests:
                parameters = _sampling_params(request, sampling)
                streams.append(await self._engine.add_request(request.request_id, request.prompt, parameters))
        except BaseException:  # a refused prompt must leave neither its siblings running nor the engine held
            await self._while_alive(self._engine.abort([one.request_id for one in requests[: len(streams)]]))
            raise
        finally:
            await self._while_alive(self._engine.resume_generation())
        return streams

    async def init_transfer(self, options: Mapping[str, object]) -> None:
        """Join the learner's weight transfer group; blocks until every member has joined."""
        await self._while_alive(
            self._engine.init_weight_transfer_engine(WeightTransferInitRequest(init_info=dict(options)))
        )

    async def begin_update(self) -> None:
        """Let running completions end, hold back new ones, and open a weight update."""
        await self._admission.acquire()
        await self._while_alive(self._engine.pause_generation(mode="wait", clear_cache=False))
        await self._while_alive(self._engine.start_weight_update())

    async def receive(self, update: Mapping[str, object]) -> None:
        """Receive one update request's tensors, between ``begin_update`` and ``finish_update``."""
        await self._while_alive(self._engine.update_weights(WeightTransferUpdateRequest(update_info=dict(update))))

    async def finish_update(self, policy_version: int) -> None:
        """Close the update, drop everything computed from old weights, and generate again."""
        await self._while_alive(self._engine.finish_weight_update())
        await self.drop_caches()
        self._policy_version = policy_version
        await self._while_alive(self._engine.resume_generation())
        self._admission.release()

    async def drop_caches(self) -> None:
        """Forget keys and values and media embeddings.

        vLLM finds embeddings by the hash of the pixels, so they outlive the vision tower that made them.
        """
        if not await self._while_alive(self._engine.reset_prefix_cache()):
            raise RuntimeError("vLLM could not drop its prefix cache: blocks are still in use")
        await self._while_alive(self._engine.reset_encoder_cache())

    async def sleep(self) -> None:
        """Give weights and cache memory to a learner on the same GPU (level 1: weights wait in host memory)."""
        await self._while_alive(self._engine.sleep(level=1))

    async def wake_up(self) -> None:
        """Take the memory back."""
        await self._while_alive(self._engine.wake_up())

    def close(self) -> None:
        """End the engine's child processes."""
        self._engine.shutdown()


def _engine_args(options: EngineOptions, processor_options: Mapping[str, int]) -> AsyncEngineArgs:
    rollout = options.rollout
    return AsyncEngineArgs(
        model=options.folder,
        dtype=options.dtype,
        hf_overrides={"head_dtype": options.head_dtype},
        seed=options.seed,
        max_model_len=rollout.max_model_len,
        max_num_seqs=rollout.max_concurrent_sequences,
        tensor_parallel_size=rollout.tensor_parallel,
        distributed_executor_backend=_executor(options),
        gpu_memory_utilization=rollout.gpu_memory_fraction,
        kv_cache_memory_bytes=None if options.on_gpu else int(rollout.kv_cache_gib * 2**30),
        enforce_eager=rollout.enforce_eager or not options.on_gpu,
        # On CPU a request's own random generator cannot be wound back after a partial prefill, so prompts go whole.
        enable_chunked_prefill=None if options.on_gpu else False,
        max_num_batched_tokens=None if options.on_gpu else max(rollout.max_model_len, CPU_BATCHED_TOKENS),
        limit_mm_per_prompt={"image": options.media_limits.images, "video": options.media_limits.videos},
        mm_processor_kwargs=dict(processor_options),
        # Would hand the processor the videos it has not seen yet, with the times of all of them.
        mm_processor_cache_gb=0,
        logprobs_mode="processed_logprobs",
        enable_sleep_mode=options.shares_gpu,
        enable_mm_processor_stats=options.counts_encoded,
        weight_transfer_config=WeightTransferConfig(backend=options.transfer_backend),
        stream_interval=NO_INTERIM_OUTPUT,
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )


def _executor(options: EngineOptions) -> Literal["ray"] | type[Executor] | None:
    """Who runs the model."""
    if options.rollout.tensor_parallel > 1:  # takes its GPUs from the run's placement group
        return "ray"
    # By itself vLLM starts a further process on CPU, to bind OpenMP's threads. Ours are not bound, their number is in
    # the environment, and a message to another process takes longer than a step of a tiny model.
    return None if options.on_gpu else UniProcExecutor


def _sampling_params(request: EngineRequest, sampling: BatchSampling) -> SamplingParams:
    watched = list(sampling.watched_token_ids)
    return SamplingParams(
        n=request.num_completions,
        seed=request.seed,
        temperature=sampling.config.temperature,
        top_p=sampling.config.top_p,
        repetition_penalty=sampling.repetition_penalty,
        max_tokens=sampling.config.max_tokens,
        logprobs=len(watched) if sampling.tells_logprobs else None,  # beside the sampled token's own
        logprob_token_ids=watched or None,
        logit_bias=dict.fromkeys(sampling.banned_token_ids, BAN),
        output_kind=RequestOutputKind.DELTA,
        detokenize=False,  # the family decodes whole completions
    )


async def _collected(
    streams: Sequence[RequestOutputCollector],
    policy_version: int,
    sampling: BatchSampling,
    *,
    on_end: OnEnd | None = None,
) -> list[EngineOutput]:
    each = (_collect(stream, policy_version, number, on_end, sampling) for number, stream in enumerate(streams))
    return list(await asyncio.gather(*each))


async def _collect(
    stream: RequestOutputCollector, policy_version: int, number: int, on_end: OnEnd | None, sampling: BatchSampling
) -> EngineOutput:
    """Put the pieces of each sequence together until the request has ended."""
    pieces: dict[int, list[CompletionOutput]] = {}
    completions: dict[int, EngineCompletion] = {}
    is_finished = False
    while not is_finished:
        output = await stream.get()
        if not isinstance(output, RequestOutput) or output.prompt_token_ids is None:
            raise TypeError(f"expected sampled text from vLLM, got {type(output).__name__}")
        is_finished = output.finished
        for piece in output.outputs:
            pieces.setdefault(piece.index, []).append(piece)
            if piece.finish_reason is not None:
                completions[piece.index] = _completion(pieces.pop(piece.index), sampling)
                if on_end is not None:
                    on_end(number, completions[piece.index])
    return EngineOutput(
        prompt_token_ids=np.array(output.prompt_token_ids, dtype=np.int32),
        completions=tuple(completions[index] for index in sorted(completions)),
        policy_version=policy_version,
        num_cached_tokens=output.num_cached_tokens or 0,
    )


def _completion(pieces: Sequence[CompletionOutput], sampling: BatchSampling) -> EngineCompletion:
    watched = sampling.watched_token_ids
    token_ids: list[int] = []
    logprobs: list[float] = []
    watched_logprobs: list[list[float]] = []
    for piece in pieces:
        if not piece.token_ids:  # an end without a token repeats the log-probs of all before it
            continue
        token_ids += piece.token_ids
        if not sampling.tells_logprobs:
            logprobs += [math.nan] * len(piece.token_ids)
            continue
        if piece.logprobs is None:
            raise TypeError("vLLM returned no log-probs although they were asked for")
        logprobs += [at[token].logprob for token, at in zip(piece.token_ids, piece.logprobs, strict=True) if at]
        watched_logprobs += [[at[token].logprob for token in watched] for at in piece.logprobs if at]
    return EngineCompletion(
        token_ids=np.array(token_ids, dtype=np.int32),
        logprobs=np.array(logprobs, dtype=np.float32),
        watched_logprobs=np.array(watched_logprobs, dtype=np.float32).reshape(len(watched_logprobs), len(watched)),
        finish_reason=_finish_reason(pieces[-1]),
    )


def _finish_reason(last: CompletionOutput) -> FinishReason:
    reason = str(last.finish_reason)
    if reason not in _FINISH_REASONS:
        raise RuntimeError(f"vLLM ended a completion with {reason!r}; its log says why")
    return _FINISH_REASONS[reason]


_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "abort"}
