"""LIKE and ILIKE as lookups: ``%`` stands for any characters and ``_`` for one, and no character escapes them."""

from typing import Any

from django.db.models import Lookup

_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


class Like(Lookup):
    """LIKE that distinguishes capitals on both databases."""

    lookup_name = "tracking_like"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right} ESCAPE ''", [*left_params, *right_params]

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} GLOB {right}", [*left_params, *(str(one).translate(_GLOB) for one in right_params)]


class ILike(Lookup):
    """LIKE that doesn't distinguish capitals; on SQLite those of ASCII alone."""

    lookup_name = "tracking_ilike"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} ILIKE {right} ESCAPE ''", [*left_params, *right_params]

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} LIKE {right}", [*left_params, *right_params]
