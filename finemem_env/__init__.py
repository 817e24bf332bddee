"""Gymnasium environments for LLM memory management (an open implementation of Fine-Mem)."""
