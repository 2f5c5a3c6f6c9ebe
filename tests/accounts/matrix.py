"""The access matrix: every address that there is, who may use it, and how a valid request is made. One line each.

A new address needs a line here: see :class:`tests.accounts.rules.Rule` for what can be said of it.
"""

import dill
from river import linear_model

from tests.accounts.rules import Address, Rule, at

PUBLIC = Rule(is_public=True)
HANDSHAKE = Rule(takes="basic")
READ = Rule("viewer", scopes=("read",), elsewhere="404")
READ_ALL = READ(elsewhere="ok")  # what isn't theirs is left out
LEARN = Rule("researcher", scopes=("learn",), elsewhere="404")
PREDICT = Rule("researcher", scopes=("predict",), elsewhere="404")
CREATE = Rule("researcher", scopes=("manage",), elsewhere="404")
CREATE_NAME = CREATE(elsewhere="403", narrow="403")  # on a stream of that name, which the token isn't for
SHARED = CREATE(elsewhere="403", narrow="403")  # what all streams share
CHANGE = Rule("researcher", others="moderator", scopes=("manage",), elsewhere="404")
RETRACT = Rule("moderator", scopes=("manage",), elsewhere="404")

ANYONE = Rule()
OWN = Rule(others="admin", hidden=True, scopes=("manage",), others_scopes=("manage",), elsewhere="404", narrow="404")
MINE = Rule(others="admin", hidden=True, known="404")
MODERATE = Rule("moderator", scopes=("manage",), elsewhere="403", narrow="403")
ADMIN = Rule("admin", scopes=("manage",), elsewhere="403", narrow="403")
ADMIN_READ = ADMIN(scopes=("read",))

PASSWORD, NEW_PASSWORD = "a long old password 1", "another long password 2"
CHANGED_PASSWORD = {"old_password": PASSWORD, "new_password": NEW_PASSWORD, "repeated_password": NEW_PASSWORD}
POINT = {"x": {"a": 1.0}, "y": 2.0}
STRUCTURE = {"structure": '1\nLattice="2 0 0 0 2 0 0 0 2" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n'}
CELL = {"name": "new", **STRUCTURE, "composition": "Cu", "observations": [POINT]}
UPLOAD = dill.dumps(linear_model.LinearRegression())

MATRIX: dict[str, Address] = {
    # pages
    "": at(get=PUBLIC),
    "healthz": at(get=PUBLIC),
    "readyz": at(get=PUBLIC),
    "ping": at(get=PUBLIC),
    "invocations": at(post=PREDICT({"instances": [{"a": 1.0}]})),
    "invocations/<str:name>": at("m", post=PREDICT({"instances": [{"a": 1.0}]})),
    "metrics": at(get=READ(elsewhere="403", narrow="403")),
    "login/": at(get=PUBLIC, post=PUBLIC(form={"username": "somebody", "password": PASSWORD})),
    "login/oidc/": at(get=PUBLIC(known="404")),  # not set up here
    "login/oidc/callback/": at(get=PUBLIC(known="404")),
    "logout/": at(post=PUBLIC),
    "account/": at(get=ANYONE),
    "account/password/": at(post=ANYONE(form=CHANGED_PASSWORD)),
    "account/sign-ins/end-others/": at(post=ANYONE),
    "account/sign-ins/<int:number>/end/": at("{sign_in}", post=MINE),
    "account/tokens/": at(get=ANYONE, post=ANYONE(form={"name": "new", "days": "90", "scopes": "learn"})),
    "account/tokens/<int:number>/rotate/": at("{token}", post=MINE),
    "account/tokens/<int:number>/revoke/": at("{token}", post=MINE),
    "users/": at(get=MODERATE),
    "new-user/": at(get=ADMIN, post=ADMIN(form={"user": "new", "role": "viewer"})),
    "users/<str:name>/": at("eve", get=MODERATE),
    "users/<str:name>/block/": at("eve", post=MODERATE),
    "users/<str:name>/unblock/": at("eve", post=MODERATE),
    "users/<str:name>/password/": at("eve", post=MODERATE),
    "users/<str:name>/role/": at("eve", post=ADMIN(form={"role": "researcher"})),
    "users/<str:name>/tokens/<int:number>/revoke/": at("{user}", "{token}", post=ADMIN),
    "users/<str:name>/sign-ins/<int:number>/end/": at("{user}", "{sign_in}", post=ADMIN),
    "audit/": at(get=ADMIN),
    "audit/export/": at(get=ADMIN),
    # riverapi
    "api/": at(get=PUBLIC),
    "api/auth/token/": at(get=HANDSHAKE),
    "api/learn/": at(post=LEARN({"model": "m", "features": {"a": 1.0}, "ground_truth": 2.0})),
    "api/predict/": at(post=PREDICT({"model": "m", "features": {"a": 1.0}})),
    "api/label/": at(post=LEARN({"model": "m", "identifier": "kept", "label": 2.0})),
    "api/models/": at(get=READ_ALL),
    "api/model/": at(delete=CHANGE({"model": "m"})),
    "api/model/download/<str:name>/": at("m", get=READ),
    "api/model/<str:name>/": at("m", get=READ),
    "api/model/<str:flavor>/<str:name>/": at("regression", "new", post=CREATE_NAME(UPLOAD)),
    "api/metrics/": at(get=READ({"model": "m"})),
    "api/stats/": at(get=READ({"model": "m"})),
    "api/stream/events/": at(get=READ_ALL),
    "api/stream/metrics/": at(get=READ_ALL),
    # the native API
    "api/v1/streams/": at(get=READ_ALL, post=CREATE_NAME({"name": "new", "target": {"name": "y"}})),
    "api/v1/streams/<str:name>/": at("s", get=READ, patch=CHANGE({"description": "changed"})),
    "api/v1/streams/<str:name>/observations/": at("s", get=READ, post=LEARN(POINT)),
    "api/v1/streams/<str:name>/observations/<str:seq>/retract/": at("s", "1", post=RETRACT({"reason": "wrong node"})),
    "api/v1/recipes/": at(get=READ_ALL),
    "api/v1/models/": at(get=READ_ALL, post=CREATE({"name": "new", "stream": "s", "recipe": "mean"})),
    "api/v1/models/<str:name>/": at("m", get=READ, delete=CHANGE),
    "api/v1/models/<str:name>/predict/": at("m", post=PREDICT({"x": {"a": 1.0}})),
    "api/v1/models/<str:name>/release/": at("quarantined", post=CHANGE),
    "api/v1/models/<str:name>/download/": at("m", get=READ),
    "api/v1/models/<str:name>/metrics/": at("m", get=READ),
    "api/v1/models/<str:name>/history/": at("m", get=READ),
    "api/v1/models/<str:name>/stats/": at("m", get=READ),
    "api/v1/predictions/<path:identifier>/label/": at("kept", post=LEARN({"y": 2.0})),
    "api/v1/streams/<str:name>/cells/": at("s", get=READ, post=LEARN(CELL)),
    "api/v1/streams/<str:name>/cells/<str:cell>/": at("s", "c", get=READ),
    "api/v1/descriptors/": at(get=READ_ALL, post=SHARED({"name": "new", "content": {"r_cut": 3.75}})),
    "api/v1/descriptors/<str:name>/": at("d", get=READ_ALL),
    "api/v1/databases/": at(get=READ_ALL, post=CREATE({"name": "new", "stream": "s"})),
    "api/v1/databases/<str:name>/": at("b", get=READ),
    "api/v1/databases/<str:name>/observations/": at("b", get=READ),
    "api/v1/models/<str:name>/coverage/": at("m", get=READ, post=READ({"xs": [{"a": 1.0}]})),
    "api/v1/events/": at(get=READ_ALL),
    "api/v1/me/": at(get=ANYONE),
    "api/v1/me/password/": at(post=Rule(takes="person", body={"old": PASSWORD, "new": NEW_PASSWORD})),
    "api/v1/tokens/": at(get=ANYONE(scopes=("read", "manage")), post=ANYONE({"name": "another"}, scopes=("manage",))),
    "api/v1/tokens/<str:id>/": at("{token}", get=OWN(scopes=("read", "manage")), delete=OWN),
    "api/v1/tokens/<str:id>/rotate/": at("{token}", post=OWN({}, known="403")),
    "api/v1/signin/": at(post=PUBLIC({"user": "somebody", "password": PASSWORD}), delete=PUBLIC),
    "api/v1/signin/refresh/": at(post=PUBLIC({}, with_cookies=True)),
    "api/v1/users/": at(get=MODERATE, post=ADMIN({"user": "new"})),
    "api/v1/users/<str:name>/": at("eve", get=MODERATE, patch=ADMIN({"role": "researcher"})),
    "api/v1/users/<str:name>/block/": at("eve", post=MODERATE),
    "api/v1/users/<str:name>/unblock/": at("eve", post=MODERATE),
    "api/v1/users/<str:name>/password/": at("eve", post=MODERATE),
    "api/v1/users/<str:name>/sign-ins/": at(
        "{user}",
        get=OWN(scopes=("read", "manage"), elsewhere="403", narrow="403"),
        delete=OWN(elsewhere="403", narrow="403"),
    ),
    "api/v1/audit/": at(get=ADMIN_READ),
    "api/v1/settings/": at(get=ADMIN_READ),
    "api/v1/schema/": at(get=PUBLIC),
    "api/v1/docs/": at(get=PUBLIC),
}

MORE: dict[str, Address] = {
    # Where one address does two things: by what stands in it, or by what it acts on.
    "api/model/<str:name>/": at("regression", post=CREATE(UPLOAD, elsewhere="403", narrow="403")),
    "api/v1/streams/<str:name>/": at("unused", delete=CHANGE),
}
