"""The components of the native API's schema that tell of accounts: users, tokens, sign-ins, the audit trail, settings."""

from server.accounts.roles import ROLES, SCOPES
from server.api.v1.openapi import NOT_BLANK, Spec, ref, text
from server.api.v1.schemas import COUNT, MAYBE_TEXT, NAME, TEXT, TIME, listing, record
from server.api.v1.tokens import LONGEST_DAYS, LONGEST_OVERLAP
from server.streams.quotas import NEAR_SHARE, QUOTAS, STATES

MAYBE_TIME: Spec = {"type": ["string", "null"], "format": "date-time"}
NUMBER: Spec = {"type": "integer", "minimum": 1}
NEXT: Spec = {"type": ["integer", "null"], "description": "Of the next page, or null at the end"}
ROLE: Spec = {"type": "string", "enum": list(ROLES)}
MAYBE_ROLE: Spec = {"enum": [*ROLES, None]}
SCOPE_LIST: Spec = {"type": "array", "items": {"type": "string", "enum": list(SCOPES)}, "minItems": 1}
USERNAME: Spec = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,149}$",
    "description": "1 to 150 letters, digits, '.', '@', '+', '-' or '_', the first a letter, a digit or '_'",
}
PASSWORD: Spec = {"type": "string", "maxLength": 4096, "format": "password"}
NEW_PASSWORD: Spec = {
    **PASSWORD,
    "minLength": 12,
    "description": "Not only digits, no common one, and unlike the user's name",
}

QUOTA_LIST: Spec = {"type": "array", "items": ref("Quota")}

QUOTA = record(
    {
        "name": {"type": "string", "enum": list(QUOTAS)},
        "of": {"type": "string", "enum": ["user", "token"], "description": "Whose it is"},
        "used": {**COUNT, "description": "Things, or bytes where the name ends so"},
        "limit": {"type": ["integer", "null"], "minimum": 1, "description": "Null: none"},
        "share": {"type": ["number", "null"], "minimum": 0, "description": "Of the limit; null without one"},
        "state": {
            "type": "string",
            "enum": list(STATES),
            "description": f"`near` from {NEAR_SHARE:.0%} on; `reached`: more is refused, with 403 and the code `quota_exceeded`",
        },
    }
)

TOKEN = record(
    {
        "id": NUMBER,
        "user": {"type": "string", "description": "Its owner, as whom it acts"},
        "name": TEXT,
        "hint": {"type": "string", "description": "The last characters of its secret"},
        "scopes": {"type": "array", "items": TEXT},
        "streams": {"type": ["array", "null"], "items": TEXT, "description": "The only ones it works for; null: all"},
        "works": {"type": "boolean", "description": "Neither revoked nor expired, its owner not blocked"},
        "created_at": TIME,
        "expires_at": MAYBE_TIME,
        "revoked_at": MAYBE_TIME,
        "last_used_at": {**MAYBE_TIME, "description": "To the minute"},
        "replaces": {"type": ["integer", "null"], "description": "The token that it was rotated from"},
    }
)

TOKEN_WITH_SECRET = record(
    {
        **TOKEN["properties"],
        "token": {"type": "string", "pattern": "^trc_[0-9a-f]{64}$", "description": "The secret, shown this once"},
    }
)

NEW_TOKEN = record(
    {"name": text(100, 1, "What it is for", pattern=NOT_BLANK)},
    {
        "scopes": SCOPE_LIST,
        "streams": {
            "type": ["array", "null"],
            "items": NAME,
            "minItems": 1,
            "maxItems": 1000,
            "description": "The only ones that it is to work for, which need not exist yet; null: all",
        },
        "days": {"type": ["integer", "null"], "minimum": 1, "maximum": LONGEST_DAYS, "description": "Until it expires"},
    },
    closed=True,
)

USER = record(
    {
        "user": TEXT,
        "role": MAYBE_ROLE,
        "active": {"type": "boolean", "description": "Not blocked"},
        "has_password": {"type": "boolean"},
        "created_at": TIME,
        "last_sign_in": MAYBE_TIME,
        "quotas": QUOTA_LIST,
    }
)

AUDIT_ENTRY = record(
    {
        "number": NUMBER,
        "at": TIME,
        "user": {"type": "string", "description": "Who did it; empty where nobody was asked"},
        "token": {"type": ["integer", "null"], "description": "The number of the token that was used"},
        "address": TEXT,
        "request_id": TEXT,
        "action": TEXT,
        "target": TEXT,
        "before": {"description": "What there was of it; null: nothing"},
        "after": {"description": "What there is of it; null: nothing"},
        "hash": {"type": "string", "description": "Over the entry and the hash of the one before it"},
    }
)

SCHEMAS: dict[str, Spec] = {
    "Quota": QUOTA,
    "Me": record(
        {
            "auth": {"type": "string", "enum": ["required", "open"]},
            "user": MAYBE_TEXT,
            "role": MAYBE_ROLE,
            "permissions": {"type": "array", "items": TEXT},
            "token": {"anyOf": [ref("Token"), {"type": "null"}]},
            "quotas": QUOTA_LIST,
        }
    ),
    "PasswordChange": record({"old": PASSWORD, "new": NEW_PASSWORD}, closed=True),
    "NewToken": NEW_TOKEN,
    "Token": TOKEN,
    "TokenWithSecret": TOKEN_WITH_SECRET,
    "TokenPage": record({"tokens": {"type": "array", "items": ref("Token")}, "next": NEXT}),
    "Rotation": record(
        {},
        {
            "overlap_hours": {
                "type": "number",
                "minimum": 0,
                "maximum": LONGEST_OVERLAP,
                "default": 24,
                "description": "How long the old one goes on working",
            }
        },
        closed=True,
    ),
    "Credentials": record({"user": text(150), "password": PASSWORD}, closed=True),
    "SignedIn": record(
        {
            "token": {"type": "string", "description": "The access token"},
            "expires_in": {**COUNT, "description": "s"},
            "issued_at": TIME,
            "user": TEXT,
            "role": MAYBE_ROLE,
        }
    ),
    "Nothing": record({}, closed=True),
    "NewUser": record(
        {"user": USERNAME}, {"role": ROLE, "password": {**NEW_PASSWORD, "type": ["string", "null"]}}, closed=True
    ),
    "User": USER,
    "UserList": listing("users", "User"),
    "UserChange": record({"role": ROLE}, closed=True),
    "NewPassword": record({"user": TEXT, "password": {"type": "string", "description": "Shown this once"}}),
    "SignIn": record(
        {
            "id": NUMBER,
            "created_at": TIME,
            "refreshed_at": TIME,
            "expires_at": TIME,
            "address": TEXT,
            "agent": {"type": "string", "description": "The User-Agent that signed in"},
        }
    ),
    "SignInList": listing("sign_ins", "SignIn"),
    "AuditEntry": AUDIT_ENTRY,
    "AuditPage": record({"entries": {"type": "array", "items": ref("AuditEntry")}, "next": NEXT}),
    "Setting": record({"name": TEXT, "value": {}, "default": {}, "description": TEXT}),
    "SettingList": listing("settings", "Setting"),
}
