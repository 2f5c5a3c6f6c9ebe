"""The Open Inference Protocol (KServe V2): health, metadata and inference under ``/v2``."""
