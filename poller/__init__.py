"""The shell that brings Backpack's quotes into the log, and a local Backpack for everything but the live feed."""
