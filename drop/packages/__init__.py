"""Packages: functions as files that can be carried, verified and installed side by side."""
