"""Addresses of the pages, and who may see them."""

from django.urls import path

from server.accounts.access import PUBLIC, SIGNED_IN, allow
from server.dashboard.views import account, audit, login, oidc, tokens, users

urlpatterns = [
    path("login/", allow(login.login, get=PUBLIC, post=PUBLIC), name="login"),
    path("login/oidc/", allow(oidc.begin, get=PUBLIC), name="oidc_authentication_init"),
    path("login/oidc/callback/", allow(oidc.Callback.as_view(), get=PUBLIC), name="oidc_authentication_callback"),
    path("logout/", allow(login.logout, post=PUBLIC), name="logout"),
    path("account/", allow(account.account, get=SIGNED_IN), name="account"),
    path("account/password/", allow(account.password, post=SIGNED_IN)),
    path("account/sign-ins/end-others/", allow(account.end_other_sign_ins, post=SIGNED_IN)),
    path("account/sign-ins/<int:number>/end/", allow(account.end_sign_in, post=SIGNED_IN)),
    path("account/tokens/", allow(tokens.listed, get=SIGNED_IN, post=SIGNED_IN), name="tokens"),
    path("account/tokens/<int:number>/rotate/", allow(tokens.rotate, post=SIGNED_IN)),
    path("account/tokens/<int:number>/revoke/", allow(tokens.revoke, post=SIGNED_IN)),
    path("users/", allow(users.listed, get="moderate_users"), name="users"),
    path("new-user/", allow(users.create, get="manage_users", post="manage_users")),
    path("users/<str:name>/", allow(users.user, get="moderate_users")),
    path("users/<str:name>/block/", allow(users.block, post="moderate_users")),
    path("users/<str:name>/unblock/", allow(users.unblock, post="moderate_users")),
    path("users/<str:name>/password/", allow(users.reset_password, post="moderate_users")),
    path("users/<str:name>/role/", allow(users.set_role, post="manage_users")),
    path("users/<str:name>/tokens/<int:number>/revoke/", allow(users.revoke_token, post="manage_users")),
    path("users/<str:name>/sign-ins/<int:number>/end/", allow(users.end_sign_in, post="manage_users")),
    path("audit/", allow(audit.listed, get="read_audit"), name="audit"),
    path("audit/export/", allow(audit.export, get="read_audit")),
]
