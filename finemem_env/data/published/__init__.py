"""Memalpha and MemoryAgentBench as published: rows, dialects, chunks."""
