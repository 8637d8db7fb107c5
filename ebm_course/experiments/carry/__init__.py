"""Why a language model of additions does not carry: one set of rows written in five orders."""
