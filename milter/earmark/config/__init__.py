"""The configuration: policies/*.toml and rules/*.toml, read as one bundle and checked as a whole."""

from earmark.config.files import find_directory, load, load_server, read_files, shipped
from earmark.config.generation import compile_generation
from earmark.config.problems import ConfigError, Problem
from earmark.config.secrets import read_keys, store_password
from earmark.config.settings import Generation, ServerSettings

__all__ = [
    "ConfigError",
    "Generation",
    "Problem",
    "ServerSettings",
    "compile_generation",
    "find_directory",
    "load",
    "load_server",
    "read_files",
    "read_keys",
    "shipped",
    "store_password",
]
