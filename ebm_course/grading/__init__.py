"""Assignments: what their tests call, what students check with, and how a folder of submissions is graded."""
