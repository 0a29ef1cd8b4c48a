"""The type checker of jaxtyping's import hook: beartype, to which an int is a float."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
