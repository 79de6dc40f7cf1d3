"""The live page: what it shows is worked out here, beside the engine, and drawn in any browser."""
