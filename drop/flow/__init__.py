"""Flows: what a flow file may say (spec), reading one (load), what to do about it (plan)."""
