"""Camtrap DP: a package of tables, deployments, media and observations; 1.0 and the versions before it."""
