"""The access matrix: every address that there is, who may use it, and how a valid request is made. One line each.

A new address needs a line here: see :class:`tests.accounts.rules.Rule` for what can be said of it.
"""

import dill
from river import linear_model

from tests.accounts import matrix_mlflow
from tests.accounts.rules import Address, Rule, at

PUBLIC = Rule(is_public=True)
BADGE = Rule("viewer", is_public=True, known="404")  # its owner has not made it public
HANDSHAKE = Rule(takes="basic")
READ = Rule("viewer", scopes=("read",), elsewhere="404")
READ_ALL = READ(elsewhere="ok")  # what isn't theirs is left out
LEARN = Rule("researcher", scopes=("learn",), elsewhere="404")
PREDICT = Rule("researcher", scopes=("predict",), elsewhere="404")
CREATE = Rule("researcher", scopes=("manage",), elsewhere="404")
CREATE_NAME = CREATE(elsewhere="403", narrow="403")  # on a stream of that name, which the token isn't for
SHARED = CREATE(elsewhere="403", narrow="403")  # what all streams share
CHANGE = Rule("researcher", others="moderator", scopes=("manage",), elsewhere="404")
UNCONFIRMED = CHANGE(always="400", known="400")  # what it does needs a typed confirmation
RETRACT = Rule("moderator", scopes=("manage",), elsewhere="404")

ANYONE = Rule()
PERSON = Rule(takes="person")
OWN = Rule(others="admin", hidden=True, scopes=("manage",), others_scopes=("manage",), elsewhere="404", narrow="404")
MINE = Rule(others="admin", hidden=True, known="404")
MODERATE = Rule("moderator", scopes=("manage",), elsewhere="403", narrow="403")
ADMIN = Rule("admin", scopes=("manage",), elsewhere="403", narrow="403")
ADMIN_READ = ADMIN(scopes=("read",))
# What concerns the whole server is not for tokens that are limited to some streams.
CALCULATIONS = READ(elsewhere="403", narrow="403")
SUBMIT = CREATE(elsewhere="403", narrow="403")
CHANGE_CALCULATION = CHANGE(elsewhere="403", narrow="403")
DELETE_CALCULATION = CHANGE_CALCULATION(others="admin", always="400", known="400")  # it needs a typed confirmation
AGENT = Rule(takes="agent")
TRACK = Rule("researcher", scopes=("learn",), elsewhere="403", narrow="403")
TRACK_OWN = TRACK(others="moderator", others_scopes=("manage",))

PASSWORD, NEW_PASSWORD = "a long old password 1", "another long password 2"
CHANGED_PASSWORD = {"old_password": PASSWORD, "new_password": NEW_PASSWORD, "repeated_password": NEW_PASSWORD}
POINT = {"x": {"a": 1.0}, "y": 2.0}
RUN = "0" * 32
STRUCTURE = {"structure": '1\nLattice="2 0 0 0 2 0 0 0 2" Properties=species:S:1:pos:R:3 pbc="T T T"\nCu 0 0 0\n'}
CELL = {"name": "new", **STRUCTURE, "composition": "Cu", "observations": [POINT]}
CAMPAIGN = {"name": "new", "stream": "s", "models": ["m"], "compositions": ["Cu"], "targets": {"Cu-Cu": 1.0}}
SERVICE = {
    "name": "new",
    "cluster": "k",
    "image": "sha256:" + "0" * 64,
    "sample": {"body": {}, "expected": {}},
}
TENSORS = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
UPLOAD = dill.dumps(linear_model.LinearRegression())

MATRIX: dict[str, Address] = {
    # pages
    "": at(get=PUBLIC),
    "favicon.ico": at(get=PUBLIC),
    "overview/": at(get=READ),
    "activity/": at(get=READ),
    "system/": at(get=READ),
    "streams/<str:name>/": at("s", get=READ),
    "streams/<str:name>/parts/<str:part>/": at("s", "log", get=READ),
    "streams/<str:name>/charts/<str:chart>/": at("s", "throughput", get=READ),
    "streams/<str:name>/settings/": at("s", get=READ),
    "streams/<str:name>/settings/change/": at("s", post=CHANGE(form={"description": "changed"})),
    "streams/<str:name>/settings/retain/": at("s", post=UNCONFIRMED(form={"upto": "1", "fate": "drop"})),
    "streams/<str:name>/settings/delete/": at("unused", post=CHANGE(form={"confirm_deletion": "unused"})),
    "streams/<str:name>/suspects/": at("s", get=READ),
    "streams/<str:name>/retract/": at("s", post=RETRACT(form={"seq": "1", "reason": "wrong"})),
    "streams/<str:name>/cells/": at("s", get=READ),
    "streams/<str:name>/cell-coverage/": at("s", get=READ),
    "streams/<str:name>/cells/<str:cell>/": at("s", "c", get=READ),
    "streams/<str:name>/cells/<str:cell>/data/": at("s", "c", get=READ),
    "streams/<str:name>/cells/<str:cell>/download/": at("s", "c", get=READ),
    "streams/<str:name>/cells/<str:cell>/bonds/<int:number>/": at("s", "c", "2", get=READ),
    "models/<str:name>/": at("m", get=READ),
    "models/<str:name>/parts/<str:part>/": at("m", "moment", get=READ),
    "models/<str:name>/charts/<str:chart>/": at("m", "error", get=READ),
    "models/<str:name>/verify/": at("m", post=PREDICT),
    "models/<str:name>/predict/": at("m", get=PREDICT),
    "models/<str:name>/predict/chart/": at("m", get=PREDICT(always="404")),
    "models/<str:name>/walltime/": at("m", get=PREDICT),
    "models/<str:name>/walltime/charts/<str:chart>/": at("m", "requested", get=PREDICT(always="404")),
    "models/<str:name>/badge/": at("m", get=READ, post=CHANGE(form={"change": "publish"})),
    "badge/<str:name>.svg": at("m", get=BADGE),
    "badge/<str:name>.png": at("m", get=BADGE),
    "badge/<str:name>/<str:key>.svg": at("m", "k", get=PUBLIC(known="404")),
    "badge/<str:name>/<str:key>.png": at("m", "k", get=PUBLIC(known="404")),
    "compare/": at(get=READ),
    "compare/chart/": at(get=READ(always="404")),
    "healthz": at(get=PUBLIC),
    "readyz": at(get=PUBLIC),
    "ping": at(get=PUBLIC),
    "invocations": at(post=PREDICT({"instances": [{"a": 1.0}]})),
    "invocations/<str:name>": at("m", post=PREDICT({"instances": [{"a": 1.0}]})),
    "v2": at(get=PUBLIC),
    "v2/health/live": at(get=PUBLIC),
    "v2/health/ready": at(get=PUBLIC),
    "v2/models/<str:name>": at("m", get=PREDICT),
    "v2/models/<str:name>/ready": at("m", get=PREDICT),
    "v2/models/<str:name>/infer": at("m", post=PREDICT(TENSORS)),
    "v2/models/<str:name>/versions/<str:version>": at("m", "1", get=PREDICT),
    "v2/models/<str:name>/versions/<str:version>/ready": at("m", "1", get=PREDICT),
    "v2/models/<str:name>/versions/<str:version>/infer": at("m", "1", post=PREDICT(TENSORS)),
    "metrics": at(get=READ(elsewhere="403", narrow="403")),
    "calculations/": at(get=CALCULATIONS, post=CHANGE_CALCULATION(form={"action": "cancel", "calculation": "{ready}"})),
    "calculations/new/": at(get=SUBMIT(always="ok"), post=SUBMIT(form={"program": "code", "name": "new"})),
    "calculations/<str:number>/": at("{held}", get=CALCULATIONS),
    "calculations/<str:number>/change/": at("{ready}", post=CHANGE_CALCULATION(form={"action": "cancel"})),
    "calculations/<str:number>/delete/": at("{held}", post=DELETE_CALCULATION(form={"confirm": ""})),
    "calculations/<str:number>/report/": at("{failed}", get=CALCULATIONS),
    "calculations/<str:number>/steps/<str:step>/log/": at("{failed}", "main", get=CALCULATIONS),
    "calculations/<str:number>/steps/<str:step>/files/<str:name>": at(
        "{failed}", "main", "f", get=CALCULATIONS(always="404")
    ),
    "calculations/analyses/": at(get=CALCULATIONS),
    "experiments/": at(get=CALCULATIONS, post=SUBMIT(form={"name": "new"})),
    "experiments/<int:number>/": at("{experiment}", get=CALCULATIONS),
    "experiments/<int:number>/change/": at("{experiment}", post=CHANGE_CALCULATION(form={"action": "describe"})),
    "services/": at(get=CALCULATIONS),
    "services/<str:name>/": at("v", get=CALCULATIONS),
    "services/<str:name>/change/": at("v", post=CHANGE_CALCULATION(form={"action": "stop"})),
    "services/<str:name>/delete/": at("v", post=CHANGE_CALCULATION(form={"confirm": "v"})),
    "services/<str:name>/try/": at("v", post=PREDICT(form={"body": "{}"}, elsewhere="403", narrow="403", always="503")),
    "experiments/<int:number>/feeds/": at(
        "{experiment}",
        get=CALCULATIONS,
        post=CHANGE_CALCULATION(form={"stream": "unused", "params": "a = number"}, also=("learn",)),
    ),
    "experiments/<int:number>/feeds/change/": at(
        "{experiment}", post=CHANGE_CALCULATION(form={"action": "backfill", "stream": "s"})
    ),
    "runs/compare/": at(get=CALCULATIONS),
    "runs/compare/chart/": at(get=CALCULATIONS(always="404")),
    "runs/<str:uid>/": at(RUN, get=CALCULATIONS),
    "runs/<str:uid>/chart/": at(RUN, get=CALCULATIONS(always="404")),
    "runs/<str:uid>/files/<path:path>": at(RUN, "f", get=CALCULATIONS(always="404")),
    "runs/<str:uid>/change/": at(RUN, post=CHANGE_CALCULATION(form={"action": "rename", "name": "n"})),
    "registry/": at(get=CALCULATIONS),
    "registry/<str:name>/": at(
        "registered", get=CALCULATIONS, post=CHANGE_CALCULATION(form={"action": "delete_alias", "alias": "a"})
    ),
    "campaigns/": at(get=CALCULATIONS),
    "campaigns/new/": at(
        get=SUBMIT(always="ok"),
        post=SUBMIT(
            form={"name": "new", "stream": "s", "models": "m", "compositions": "Cu", "targets": "Cu-Cu 1"}, always="409"
        ),
    ),
    "campaigns/<str:name>/": at("g", get=CALCULATIONS),
    "campaigns/<str:name>/change/": at("g", post=CHANGE_CALCULATION(form={"action": "pause"})),
    "campaigns/<str:name>/rounds/<int:number>/": at("g", "1", get=CALCULATIONS),
    "campaigns/<str:name>/evaluations/": at("g", get=CALCULATIONS, post=CHANGE_CALCULATION(form={"kind": "coverage"})),
    "campaigns/<str:name>/evaluations/<int:number>/": at("g", "1", get=CALCULATIONS),
    "compositions/": at(get=CALCULATIONS, post=SUBMIT(form={"name": "Al"})),
    "compositions/<str:name>/": at("Zr", get=CALCULATIONS, post=CHANGE_CALCULATION(form={"notes": "changed"})),
    "structures/": at(get=CALCULATIONS, post=SUBMIT(form={"name": "new", "content": "1\n\nH 0 0 0"})),
    "structures/<str:name>/": at("h", get=CALCULATIONS),
    "structures/<str:name>/file/": at("h", get=CALCULATIONS),
    "structures/<str:name>/delete/": at("h", post=CHANGE_CALCULATION),
    "clusters/": at(get=CALCULATIONS, post=ADMIN(form={"name": "new"})),
    "clusters/logs/": at(get=CALCULATIONS, post=ADMIN(form={"days": "90"})),
    "clusters/<str:name>/": at("k", get=CALCULATIONS, post=ADMIN(form={"state": "enabled"})),
    "clusters/<str:name>/token/": at("k", post=ADMIN),
    "clusters/<str:name>/delete/": at("k", post=ADMIN(always="409")),
    "clusters/<str:name>/charts/<str:chart>/": at("k", "cpu", get=CALCULATIONS),
    "programs/<str:name>/rule/": at("code", post=MODERATE(form={"requires_approval": "on"})),
    "login/": at(get=PUBLIC, post=PUBLIC(form={"username": "somebody", "password": PASSWORD})),
    "login/oidc/": at(get=PUBLIC(known="404")),  # not set up here
    "login/oidc/callback/": at(get=PUBLIC(known="404")),
    "logout/": at(post=PUBLIC),
    "account/": at(get=ANYONE),
    "account/password/": at(post=ANYONE(form=CHANGED_PASSWORD)),
    "account/sign-ins/end-others/": at(post=ANYONE),
    "account/sign-ins/<int:number>/end/": at("{sign_in}", post=MINE),
    "account/notifications/": at(get=ANYONE, post=ANYONE(form={"level": "ERROR", "digest_minutes": "5"})),
    "account/notifications/address/": at(post=ANYONE(form={"address": ""})),
    "account/notifications/test/": at(post=ANYONE(always="409")),
    "account/notifications/webhooks/": at(post=ANYONE(form={"name": "chat", "url": "https://example.org/hook"})),
    "account/notifications/webhooks/<int:number>/delete/": at("1", post=ANYONE(always="404")),
    "account/notifications/webhooks/<int:number>/test/": at("1", post=ANYONE(always="404")),
    "notifications/confirm/<str:token>/": at("x", get=PUBLIC, post=PUBLIC(known="400")),
    "notifications/unsubscribe/<str:token>/": at("x", get=PUBLIC, post=PUBLIC(known="400")),
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
    **matrix_mlflow.MATRIX,
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
    "api/v1/models/<str:name>/record/": at("m", get=READ),
    "api/v1/models/<str:name>/record/export/": at("m", get=READ),
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
    "api/v1/clusters/": at(get=CALCULATIONS, post=ADMIN({"name": "new"})),
    "api/v1/clusters/<str:name>/": at("k", get=CALCULATIONS, patch=ADMIN({"title": "K"}), delete=ADMIN(always="409")),
    "api/v1/clusters/<str:name>/token/": at("k", post=ADMIN),
    "api/v1/clusters/<str:name>/loads/": at("k", get=CALCULATIONS),
    "api/v1/clusters/<str:name>/messages/": at("k", get=CALCULATIONS),
    "api/v1/programs/": at(get=CALCULATIONS),
    "api/v1/programs/<str:name>/": at("code", get=CALCULATIONS, patch=MODERATE({"requires_approval": True})),
    "api/v1/structures/": at(get=CALCULATIONS, post=SUBMIT({"name": "new", "content": "1\n\nH 0 0 0"})),
    "api/v1/structures/<str:name>/": at("h", get=CALCULATIONS, delete=CHANGE_CALCULATION),
    "api/v1/compositions/": at(get=CALCULATIONS, post=SUBMIT({"name": "Al"})),
    "api/v1/compositions/<str:name>/": at(
        "Zr", get=CALCULATIONS, patch=CHANGE_CALCULATION({"notes": "changed"}), delete=CHANGE_CALCULATION
    ),
    "api/v1/campaigns/": at(get=CALCULATIONS, post=SUBMIT(CAMPAIGN, always="409")),  # the stream's bonds have no types
    "api/v1/campaigns/<str:name>/": at(
        "ended", get=CALCULATIONS, patch=CHANGE_CALCULATION({"description": "changed"}), delete=CHANGE_CALCULATION
    ),
    "api/v1/campaigns/<str:name>/pause/": at("g", post=CHANGE_CALCULATION),
    "api/v1/campaigns/<str:name>/resume/": at("ended", post=CHANGE_CALCULATION),
    "api/v1/campaigns/<str:name>/stop/": at("g", post=CHANGE_CALCULATION),
    "api/v1/campaigns/<str:name>/propose/": at("g", post=CHANGE_CALCULATION),
    "api/v1/campaigns/<str:name>/decisions/": at("g", get=CALCULATIONS),
    "api/v1/campaigns/<str:name>/decisions/<str:number>/": at("g", "1", get=CALCULATIONS),
    "api/v1/campaigns/<str:name>/decisions/<str:number>/approve/": at("g", "1", post=MODERATE),
    "api/v1/campaigns/<str:name>/decisions/<str:number>/reject/": at("g", "1", post=MODERATE({"reason": "no"})),
    "api/v1/campaigns/<str:name>/runs/": at("g", get=CALCULATIONS),
    "api/v1/campaigns/<str:name>/runs/<str:number>/restart/": at("g", "1", post=CHANGE_CALCULATION({"stage": "label"})),
    "api/v1/campaigns/<str:name>/labels/": at("g", post=CHANGE_CALCULATION(CELL, always="404", known="404")),
    "api/v1/campaigns/<str:name>/history/": at("g", get=CALCULATIONS),
    "api/v1/campaigns/<str:name>/evaluations/": at(
        "g", get=CALCULATIONS, post=CHANGE_CALCULATION({"kind": "coverage"})
    ),
    "api/v1/campaigns/<str:name>/evaluations/<str:number>/": at("g", "1", get=CALCULATIONS),
    "api/seed/generate/<str:composition>": at("Cu", post=MODERATE(always="409")),  # no candidate is one of it
    "api/seed/augment": at(post=MODERATE({"cell": "c"}, always="409")),
    "api/seed/evaluate": at(post=CHANGE_CALCULATION({})),
    "api/seed/etl": at(get=CALCULATIONS),
    "api/v1/experiments/": at(get=CALCULATIONS, post=SUBMIT({"name": "new"})),
    "api/v1/experiments/<str:number>/": at(
        "{experiment}",
        get=CALCULATIONS,
        patch=CHANGE_CALCULATION({"description": "changed"}),
        delete=CHANGE_CALCULATION,
    ),
    "api/v1/experiments/<str:number>/restore/": at("{experiment}", post=CHANGE_CALCULATION),
    "api/v1/experiments/<str:number>/predict/": at(
        "{experiment}", post=PREDICT({"params": {"a": 1}}, elsewhere="403", narrow="403")
    ),
    "api/v1/experiments/<str:number>/feeds/": at(
        "{experiment}",
        get=CALCULATIONS,
        post=CHANGE_CALCULATION({"stream": "unused", "params": {"a": "number"}}, also=("learn",)),
    ),
    "api/v1/experiments/<str:number>/feeds/<str:stream>/": at(
        "{experiment}", "s", get=CALCULATIONS, delete=CHANGE_CALCULATION
    ),
    "api/v1/experiments/<str:number>/feeds/<str:stream>/backfill/": at("{experiment}", "s", post=CHANGE_CALCULATION),
    "api/v1/experiments/<str:number>/feeds/<str:stream>/runs/": at("{experiment}", "s", get=CALCULATIONS),
    "api/v1/runs/": at(get=CALCULATIONS, post=TRACK({"experiment": "new"})),
    "api/v1/runs/search/": at(post=CALCULATIONS({})),
    "api/v1/runs/<str:uid>/": at(
        RUN,
        get=CALCULATIONS,
        put=TRACK_OWN({"experiment": "e"}),
        patch=TRACK_OWN({"name": "changed"}),
        delete=CHANGE_CALCULATION,
    ),
    "api/v1/runs/<str:uid>/restore/": at(RUN, post=CHANGE_CALCULATION),
    "api/v1/runs/<str:uid>/lines/": at(
        RUN, get=TRACK_OWN(always="ok"), post=TRACK_OWN({"writer": "w", "first": 0, "lines": []})
    ),
    "api/v1/runs/<str:uid>/links/": at(RUN, post=TRACK_OWN({"to": "stream", "name": "s"})),
    "api/v1/runs/<str:uid>/history/": at(RUN, get=CALCULATIONS(always="404")),
    "api/v1/runs/<str:uid>/domains/": at(RUN, get=CALCULATIONS),
    "api/v1/runs/<str:uid>/uploads/<str:sha256>/": at(
        RUN, "0" * 64, get=TRACK_OWN(always="404", known="404"), patch=TRACK_OWN(always="400", known="400")
    ),
    "api/v1/runs/<str:uid>/artifacts/": at(RUN, get=CALCULATIONS),
    "api/v1/runs/<str:uid>/artifacts/<path:path>": at(
        RUN,
        "a.txt",
        get=CALCULATIONS(always="404"),
        put=TRACK_OWN(b"text"),
        delete=CHANGE_CALCULATION(always="404", known="404"),
    ),
    "api/v1/calculations/": at(get=CALCULATIONS, post=SUBMIT({"name": "new", "program": "code"})),
    "api/v1/calculations/<str:number>/": at(
        "{held}", get=CALCULATIONS, patch=CHANGE_CALCULATION({"name": "changed"}), delete=DELETE_CALCULATION
    ),
    "api/v1/calculations/<str:number>/approve/": at("{unapproved}", post=MODERATE),
    "api/v1/calculations/<str:number>/reject/": at("{unapproved}", post=MODERATE),
    "api/v1/calculations/<str:number>/hold/": at("{ready}", post=CHANGE_CALCULATION),
    "api/v1/calculations/<str:number>/release/": at("{held}", post=CHANGE_CALCULATION),
    "api/v1/calculations/<str:number>/cancel/": at("{ready}", post=CHANGE_CALCULATION),
    "api/v1/calculations/<str:number>/retry/": at("{failed}", post=CHANGE_CALCULATION),
    "api/v1/calculations/<str:number>/clone/": at("{held}", post=SUBMIT({})),
    "api/v1/calculations/<str:number>/report/": at("{failed}", get=CALCULATIONS),
    "api/v1/calculations/<str:number>/steps/<str:step>/log/": at("{failed}", "main", get=CALCULATIONS),
    "api/v1/calculations/<str:number>/steps/<str:step>/files/<str:name>": at(
        "{failed}", "main", "f", get=CALCULATIONS(always="404")
    ),
    "api/v1/calculations/<str:number>/steps/<str:step>/undecided/": at(
        "{lost}", "main", post=MODERATE({"decision": "failed"})
    ),
    "api/v1/agent/register/": at(
        post=AGENT(
            {
                "agent": "a",
                "host": "h",
                "root": "/r",
                "version": "1",
                "launcher": "bare",
                "slots": 1,
                "programs": [],
                "holdings": [],
            }
        )
    ),
    "api/v1/agent/sync/": at(post=AGENT({"epoch": 1, "claim": None, "free": 0})),
    "api/v1/agent/steps/<str:step>/permit/": at("{claimed}", post=AGENT({"epoch": 1, "fence": 1})),
    "api/v1/agent/steps/<str:step>/results/": at("{claimed}", post=AGENT({"epoch": 1, "fence": 1, "state": "failed"})),
    "api/v1/agent/steps/<str:step>/files/<str:name>": at("{failed_step}", "f", put=AGENT(b"text")),
    "api/v1/agent/steps/<str:step>/log": at("{claimed}", put=AGENT(b"text")),
    "api/v1/agent/services/": at(
        post=AGENT(
            {"session": "u", "begins": True, "address": "", "secret": "x", "version": "1", "images": [], "services": []}
        )
    ),
    "api/v1/services/": at(get=CALCULATIONS, post=SUBMIT(SERVICE)),
    "api/v1/services/<str:name>/": at("v", get=CALCULATIONS, delete=CHANGE_CALCULATION),
    "api/v1/services/<str:name>/run/": at("v", post=CHANGE_CALCULATION),
    "api/v1/services/<str:name>/stop/": at("v", post=CHANGE_CALCULATION),
    "api/v1/services/<str:name>/restart/": at("v", post=CHANGE_CALCULATION),
    "api/v1/services/<str:name>/invocations/": at(
        "v",
        post=PREDICT({"instances": []}, elsewhere="403", narrow="403", always="503"),  # no agent has it
    ),
    "api/v1/events/": at(get=READ_ALL),
    "api/v1/me/": at(get=ANYONE),
    "api/v1/me/password/": at(post=Rule(takes="person", body={"old": PASSWORD, "new": NEW_PASSWORD})),
    "api/v1/notifications/": at(get=PERSON),
    "api/v1/notifications/preferences/": at(get=PERSON, patch=PERSON({"level": "ERROR"})),
    "api/v1/notifications/test/": at(post=PERSON(always="409")),
    "api/v1/notifications/webhooks/": at(get=PERSON, post=PERSON({"name": "chat", "url": "https://example.org/hook"})),
    "api/v1/notifications/webhooks/<int:number>/": at("1", delete=PERSON(always="404")),
    "api/v1/notifications/webhooks/<int:number>/test/": at("1", post=PERSON(always="404")),
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
