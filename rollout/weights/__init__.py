"""How new weights travel from the learner to the engines.

    learner rank 0 --WeightSender.send--> transport (gloo | nccl | ipc) --vLLM weight-transfer engine--> model

``manifest.py`` names what is sent, ``gloo.py`` is our CPU transport, ``vllm_*.py`` are the only modules here
that import vLLM. vLLM's own engines carry nccl and ipc.
"""
