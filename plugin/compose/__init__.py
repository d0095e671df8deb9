"""Configs in, configs out: pairs, models, fitting to data and options."""
