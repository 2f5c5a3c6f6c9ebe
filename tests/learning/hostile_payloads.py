"""Payloads that attack whoever unpickles them, with what their refusal must name.

They are put together by hand from pickle operations, so that what a well-behaved pickler never writes is tried too.
"""

import os
import pickle
import struct
import tempfile
import types
from pathlib import Path

import dill
from river import compose

CANARY = Path(tempfile.gettempdir()) / f"tailrace-canary-{os.getpid()}"
COMMAND = f"touch {CANARY}"
LINEAR = ("river.linear_model.lin_reg", "LinearRegression")


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def double(value: float) -> bytes:
    return b"G" + struct.pack(">d", value)


def raw(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def get(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def tup(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tup(*arguments) + b"R"


def new(cls: bytes, *arguments: bytes) -> bytes:
    return cls + tup(*arguments) + b"\x81"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def build(target: bytes, state: bytes) -> bytes:
    return target + state + b"b"


def upload(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


def inside(value: bytes) -> bytes:
    """The value as an attribute of an estimator, where data is looked for."""
    return upload(build(new(get(*LINEAR)), mapping(l2=value)))


class Reduce:
    """Pickles as whatever call is wanted."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def doubling(make: bytes, times: int) -> bytes:
    """An object that holds the one before it twice, and so on."""
    return make + b"\x94" + b"".join(b"0(h" + bytes([i]) + b"h" + bytes([i]) + b"t\x94" for i in range(times))


def doubling_lists(times: int) -> bytes:
    return b"]\x94" + b"".join(b"0](h" + bytes([i]) + b"h" + bytes([i]) + b"e\x94" for i in range(times))


ARRAY = get("numpy._core.multiarray", "_reconstruct"), get("numpy", "ndarray")
F8 = call(get("numpy", "dtype"), text("f8"), b"\x89", b"\x88")
O8 = call(get("numpy", "dtype"), text("O8"), b"\x89", b"\x88")


def shell(shape: bytes = tup(number(0))) -> bytes:
    return call(ARRAY[0], ARRAY[1], shape, raw(b"b"))


def class_made_here() -> type:
    source = types.ModuleType("__main__")
    exec("class Mine:\n    def predict_one(self, x):\n        return 1", vars(source))
    return source.Mine


PAYLOADS: dict[str, tuple[bytes, str]] = {
    # code by name
    "os.system, protocol 0": (f"cos\nsystem\n(S'{COMMAND}'\ntR.".encode(), "os.system"),
    "posix.system": (pickle.dumps(Reduce(os.system, COMMAND)), "posix.system"),
    "os.system by INST": (f"(S'{COMMAND}'\nios\nsystem\n.".encode(), "STRING"),
    "os.system by INST, text in binary": (b"\x80\x04(" + text(COMMAND) + b"ios\nsystem\n.", "os.system"),
    "os.system by OBJ": (upload(b"(" + get("os", "system") + text(COMMAND) + b"o"), "os.system"),
    "os.system by GLOBAL": (upload(b"cos\nsystem\n" + tup(text(COMMAND)) + b"R"), "os.system"),
    "subprocess.Popen": (upload(call(get("subprocess", "Popen"), text(COMMAND))), "subprocess.Popen"),
    "builtins.eval": (pickle.dumps(Reduce(eval, f"__import__('os').system('{COMMAND}')")), "builtins.eval"),
    "builtins.exec": (dill.dumps(Reduce(exec, f"import os; os.system('{COMMAND}')")), "builtins.exec"),
    "builtins.compile": (
        upload(call(get("builtins", "compile"), text("1"), text("x"), text("exec"))),
        "builtins.compile",
    ),
    "builtins.__import__": (upload(call(get("builtins", "__import__"), text("os"))), "builtins.__import__"),
    "builtins.open": (upload(call(get("builtins", "open"), text(str(CANARY)), text("w"))), "builtins.open"),
    "builtins.print": (inside(get("builtins", "print")), "builtins.print"),
    "builtins.type makes a class": (inside(call(get("builtins", "type"), text("X"), b")", b"}")), "builtins.type"),
    "importlib.import_module": (
        upload(call(get("importlib", "import_module"), text("antigravity"))),
        "importlib.import_module",
    ),
    "runpy": (upload(call(get("runpy", "_run_code"), text("1"), b"}")), "runpy._run_code"),
    "pickle.loads": (
        upload(call(get("_pickle", "loads"), raw(pickle.dumps(Reduce(os.system, COMMAND))))),
        "_pickle.loads",
    ),
    "operator.attrgetter": (inside(call(get("operator", "attrgetter"), text("__class__"))), "operator.attrgetter"),
    "operator.methodcaller": (inside(call(get("operator", "methodcaller"), text("x"))), "operator.methodcaller"),
    "functools.reduce": (inside(get("functools", "reduce")), "functools.reduce"),
    "socket": (
        upload(call(get("socket", "create_connection"), tup(text("localhost"), number(1)))),
        "socket.create_connection",
    ),
    "numpy.load": (inside(call(get("numpy", "load"), text("/etc/passwd"))), "numpy.load"),
    "numpy.testing runs code": (
        upload(call(get("numpy.testing._private.utils", "runstring"), text("1"), b"}")),
        "runstring",
    ),
    "a reduce chain": (
        inside(call(call(get("builtins", "getattr"), get("builtins", "str"), text("lower")), text("X"))),
        "str.lower",
    ),
    # attribute walks
    "walk to os in river": (upload(call(get("river.base", "os.system"), text(COMMAND))), "river.base.os.system"),
    "walk to sys in river.base.base": (inside(get("river.base.base", "sys.modules")), "river.base.base.sys.modules"),
    "functools in river": (inside(get("river.base.base", "functools")), "river.base.base.functools"),
    "re-exported itertools": (inside(get("river.compose.pipeline", "itertools")), "river.compose.pipeline.itertools"),
    "walk through a class": (
        inside(get(LINEAR[0], "LinearRegression.__init__.__globals__")),
        "LinearRegression.__init__.__globals__",
    ),
    "subclasses of object": (inside(get("builtins", "object.__subclasses__")), "object.__subclasses__"),
    "getattr of globals": (
        inside(call(get("builtins", "getattr"), get(*LINEAR), text("__init__"))),
        "LinearRegression.__init__",
    ),
    "getattr of an instance": (
        inside(call(get("builtins", "getattr"), new(get(*LINEAR)), text("__class__"))),
        "LinearRegression.__class__",
    ),
    "getattr with a default": (inside(call(get("builtins", "getattr"), b"N", text("x"), b"N")), "builtins.getattr"),
    "log_method_calls": (inside(get("river.base.base", "log_method_calls")), "log_method_calls"),
    "river.datasets downloads": (upload(new(get("river.datasets.bikes", "Bikes"))), "river.datasets.bikes.Bikes"),
    "river.stream opens files": (
        upload(call(get("river.stream.iter_csv", "iter_csv"), text("/etc/passwd"))),
        "iter_csv",
    ),
    "river.compat wraps": (
        upload(new(get("river.compat.sklearn_to_river", "SKL2RiverRegressor"))),
        "SKL2RiverRegressor",
    ),
    "river.checks": (inside(get("river.checks", "check_estimator")), "river.checks.check_estimator"),
    "river.evaluate": (
        inside(get("river.evaluate.progressive_validation", "progressive_val_score")),
        "progressive_val_score",
    ),
    "a river class called": (upload(call(get(*LINEAR))), "LinearRegression"),
    "an instance called": (inside(call(new(get("river.optim.initializers", "Zeros")), number(10**12))), "Zeros"),
    "a river method called": (
        upload(call(get("river.base.base", "Base.clone"), new(get(*LINEAR)))),
        "Base.clone",
    ),
    "server's own code": (
        inside(get("server.learning.pickles.loader", "load_state")),
        "server.learning.pickles.loader.load_state",
    ),
    "not in river": (inside(get("river.linear_model", "Nothing")), "river.linear_model.Nothing"),
    "a name like river": (inside(get("riverside", "Thing")), "riverside.Thing"),
    # dill's ways
    "dill, a lambda": (dill.dumps(compose.FuncTransformer(lambda x: x)), "dill._dill._create_function"),
    "dill, a class": (dill.dumps(class_made_here()(), byref=False, recurse=True), "dill._dill._create_type"),
    "dill, code": (inside(call(get("dill._dill", "_create_code"), number(0))), "dill._dill._create_code"),
    "dill, import": (inside(call(get("dill._dill", "_import_module"), text("os"))), "dill._dill._import_module"),
    "dill, a file": (
        inside(call(get("dill._dill", "_create_filehandle"), text(str(CANARY)), text("w"))),
        "dill._dill._create_filehandle",
    ),
    "dill, eval of text": (
        inside(call(get("dill._dill", "_eval_repr"), text(f"__import__('os').system('{COMMAND}')"))),
        "dill._dill._eval_repr",
    ),
    "dill, _getattr evaluates": (
        inside(call(get("dill._dill", "_getattr"), get("builtins", "str"), text("upper"), text("eval('1')"))),
        "dill._dill._getattr",
    ),
    "dill, type of code": (inside(call(get("dill._dill", "_load_type"), text("CodeType"))), "CodeType"),
    "dill, type of function": (inside(call(get("dill._dill", "_load_type"), text("FunctionType"))), "FunctionType"),
    "dill, type of type": (inside(call(get("dill._dill", "_load_type"), text("type"))), "'type'"),
    "dill, a method of another class": (
        inside(
            call(
                call(get("dill._dill", "_load_type"), text("MethodType")),
                get("river.linear_model.pa", "BasePA._calc_tau_1"),
                new(get(*LINEAR)),
            )
        ),
        "LinearRegression._calc_tau_1",
    ),
    "dill, an array by another maker": (
        inside(call(get("dill._dill", "_create_array"), get("builtins", "getattr"), tup(), b"N")),
        "dill._dill._create_array",
    ),
    # what is admitted, with hostile arguments
    "partial of os.system": (inside(call(get("functools", "partial"), get("os", "system"))), "os.system"),
    "partial of getattr": (inside(call(get("functools", "partial"), get("builtins", "getattr"))), "builtins.getattr"),
    "partial swaps its function": (
        inside(
            build(
                call(get("functools", "partial"), get("builtins", "float")),
                tup(get("builtins", "getattr"), b")", b"}", b"N"),
            )
        ),
        "functools.partial",
    ),
    "partial of numpy.ones, huge": (
        inside(
            build(
                call(get("functools", "partial"), get("numpy", "ones")),
                tup(get("numpy", "ones"), tup(number(10**11)), b"}", b"N"),
            )
        ),
        "numpy.ones",
    ),
    "partial that ends the process": (
        inside(
            build(
                call(get("functools", "partial"), get("river.stats.quantile", "RollingQuantile")),
                tup(get("river.stats.quantile", "RollingQuantile"), tup(double(0.5), number(10**13)), b"}", b"N"),
            )
        ),
        "RollingQuantile",
    ),
    "defaultdict of print": (
        inside(call(get("collections", "defaultdict"), call(get("functools", "partial"), get("builtins", "print")))),
        "builtins.print",
    ),
    "defaultdict of a number": (inside(call(get("collections", "defaultdict"), number(3))), "collections.defaultdict"),
    "itemgetter of many": (inside(call(get("operator", "itemgetter"), text("a"), text("b"))), "operator.itemgetter"),
    # state
    "BUILD on a class": (upload(build(get(*LINEAR), tup(b"N", mapping(predict_one=b"N")))), "LinearRegression"),
    "BUILD on a river metaclass": (
        upload(build(get("river.stats.mean", "Mean"), tup(b"N", mapping(get=b"N")))),
        "its state is set",
    ),
    "BUILD on a function": (
        upload(build(get("river.utils.math", "minkowski_distance"), tup(b"N", mapping(__defaults__=b")")))),
        "minkowski_distance",
    ),
    "BUILD sets __class__": (
        upload(build(new(get(*LINEAR)), mapping(__class__=get("river.stats.mean", "Mean")))),
        "__class__",
    ),
    "BUILD sets __dict__": (upload(build(new(get(*LINEAR)), tup(b"N", mapping(__dict__=b"}")))), "__dict__"),
    "BUILD sets __setstate__": (
        upload(build(new(get(*LINEAR)), mapping(__setstate__=get("builtins", "str")))),
        "__setstate__",
    ),
    "BUILD sets __reduce_ex__": (
        upload(build(new(get(*LINEAR)), mapping(__reduce_ex__=get("builtins", "str")))),
        "__reduce_ex__",
    ),
    "BUILD sets a method by slots": (
        upload(build(new(get(*LINEAR)), tup(b"N", mapping(learn_one=b"N")))),
        "learn_one",
    ),
    "BUILD with a name that is not a string": (upload(build(new(get(*LINEAR)), b"}(K\x01Nu")), "attribute's name"),
    "BUILD of a scaler with a list": (
        upload(build(new(get("river.preprocessing.scale", "StandardScaler")), b"]")),
        "StandardScaler",
    ),
    "BUILD on a list": (upload(build(b"]", b"}")), "builtins.list"),
    "an estimator without its parameters": (upload(new(get(*LINEAR))), "AttributeError"),
    "NEWOBJ of a function": (upload(new(get("river.utils.math", "minkowski_distance"))), "minkowski_distance"),
    "NEWOBJ of a plain type": (upload(new(get("builtins", "int"), number(3))), "builtins.int"),
    "NEWOBJ of an abstract class": (upload(new(get("river.base.regressor", "Regressor"))), "Regressor"),
    "NEWOBJ with arguments": (upload(new(get(*LINEAR), number(1))), "LinearRegression"),
    "NEWOBJ_EX with keywords": (
        upload(get(*LINEAR) + b")" + mapping(optimizer=b"N") + b"\x92"),
        "LinearRegression",
    ),
    "copyreg._reconstructor of int": (
        inside(call(get("copyreg", "_reconstructor"), get("builtins", "int"), get("builtins", "object"), b"N")),
        "builtins.int",
    ),
    "Random of another state": (
        inside(build(call(get("random", "Random")), tup(number(3), tup(*[number(0)] * 624, number(10**6)), b"N"))),
        "random.Random",
    ),
    "MT19937 reads beyond its memory": (
        inside(
            build(
                call(get("numpy.random._pickle", "__bit_generator_ctor"), text("MT19937")),
                mapping(
                    bit_generator=text("MT19937"),
                    state=mapping(
                        key=call(
                            get("numpy._core.numeric", "_frombuffer"),
                            raw(bytes(4 * 624)),
                            call(get("numpy", "dtype"), text("u4"), b"\x89", b"\x88"),
                            tup(number(624)),
                            text("C"),
                        ),
                        pos=number(10**8),
                    ),
                ),
            )
        ),
        "MT19937",
    ),
    "Philox without its buffer": (
        inside(
            build(
                call(get("numpy.random._pickle", "__bit_generator_ctor"), text("Philox")),
                mapping(bit_generator=text("Philox"), state=b"}", buffer_pos=number(99)),
            )
        ),
        "Philox",
    ),
    "rust state that panics": (
        inside(build(new(get("river._river_rust.stats", "RsQuantile")), raw(b"nonsense"))),
        "river._river_rust.stats.RsQuantile",
    ),
    # numpy
    "object array": (
        inside(build(shell(), tup(number(1), tup(number(1)), O8, b"\x89", b"](Ne"))),
        "numpy.dtype",
    ),
    "dtype with fields": (
        inside(build(F8, tup(number(3), text("<"), b"N", tup(text("a")), b"}", number(8), number(1), number(0)))),
        "numpy.dtype",
    ),
    "shape beyond its bytes": (
        inside(build(shell(), tup(number(1), tup(number(10**9)), F8, b"\x89", raw(b"12345678")))),
        "numpy.ndarray",
    ),
    "negative shape": (
        inside(build(shell(), tup(number(1), tup(number(-1), number(-1)), F8, b"\x89", raw(b"12345678")))),
        "numpy.ndarray",
    ),
    "scalar of objects": (
        inside(call(get("numpy._core.multiarray", "scalar"), O8, get("builtins", "str"))),
        "numpy.dtype",
    ),
    "scalar of too few bytes": (
        inside(call(get("numpy._core.multiarray", "scalar"), F8, raw(b"1"))),
        "multiarray.scalar",
    ),
    "another class of array": (inside(call(ARRAY[0], get(*LINEAR), tup(number(0)), raw(b"b"))), "_reconstruct"),
    "a constructor kept as a value": (inside(get("functools", "partial")), "functools.partial"),
    # operations
    "persistent id": (upload(text("x") + b"Q"), "BINPERSID"),
    "persistent id, protocol 0": (b"\x80\x04Px\n.", "PERSID"),
    "EXT1": (upload(b"\x82\x01"), "EXT1"),
    "EXT4": (upload(b"\x84\x01\x00\x00\x00"), "EXT4"),
    "out-of-band buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "DUP": (upload(b"]2a"), "DUP"),
    "memo that isn't there": (upload(b"j\xff\xff\xff\x7f"), "malformed"),
    "memo at a huge index": (upload(b"]r\xff\xff\xff\x7f"), "builtins.list"),
    "pop from nothing": (upload(b"0"), "malformed"),
    "items without a mark": (upload(b"]e"), "malformed"),
    "taking what is below a mark": (upload(get(*LINEAR) + b")(\x81"), "malformed"),
    "two objects left": (upload(b"]]"), "2 objects are left"),
    "key without a value": (inside(b"}(K\x01u"), "malformed"),
    "unhashable key": (inside(b"}]Ns"), "builtins.list"),
    "name that is no string": (upload(b"K\x01K\x02\x93"), "global's name"),
    "appending to an estimator": (upload(new(get(*LINEAR)) + b"Na"), "LinearRegression"),
    "setting items of an estimator": (upload(new(get(*LINEAR)) + b"NNs"), "LinearRegression"),
    "adding items to a list": (upload(b"](N\x90"), "builtins.list"),
}

BOMBS: dict[str, tuple[str, str]] = {
    "bytes longer than the upload": ('upload(b"\\x8e" + struct.pack("<Q", 10**12) + b"x")', "truncated"),
    "bytearray longer than the upload": ('b"\\x80\\x05\\x96" + struct.pack("<Q", 10**12) + b"x."', "truncated"),
    "text longer than the upload": ('upload(b"\\x8d" + struct.pack("<Q", 2**62) + b"x")', "truncated"),
    "frame longer than the upload": ('b"\\x80\\x04\\x95" + struct.pack("<Q", 2**62) + b"K"', "truncated"),
    "bytearray by its length": ('inside(call(get("builtins", "bytearray"), number(10**12)))', "builtins.bytearray"),
    "bytes by their length": ('inside(call(get("builtins", "bytes"), number(10**12)))', "builtins.bytes"),
    "range": ('inside(call(get("builtins", "range"), number(10**12)))', "builtins.range"),
    "list of a range": (
        'inside(call(get("builtins", "list"), call(get("builtins", "range"), number(999))))',
        "builtins.list",
    ),
    "an integer of a million bits": ('inside(b"\\x8b" + struct.pack("<I", 10**6) + b"\\x7f" * 10**6)', "LONG4"),
    "text times a number": ('inside(call(get("operator", "mul"), text("x"), number(10**12)))', "operator.mul"),
    "numpy.zeros": ('inside(call(get("numpy", "zeros"), number(10**11)))', "numpy.zeros"),
    "numpy.ones called": ('inside(call(get("numpy", "ones"), number(10**11)))', "numpy.ones"),
    "ndarray made new": ('inside(new(get("numpy", "ndarray"), tup(number(10**11))))', "numpy.ndarray"),
    "_reconstruct of a huge shape": ("inside(shell(tup(number(10**11))))", "_reconstruct"),
    "text dtype of a huge size": (
        'inside(call(get("numpy", "dtype"), text("U1000000000"), b"\\x89", b"\\x88"))',
        "numpy.dtype",
    ),
    "array of a huge size": (
        'inside(call(get("array", "array"), text("d"), call(get("builtins", "range"), number(10**9))))',
        "builtins.range",
    ),
    "counter of one dict, again and again": (
        'upload(b"}(" + b"".join(number(i) + b"N" for i in range(20000)) + b"u\\x940" '
        '+ get("collections", "Counter") + b"\\x940" + b"](" + b"h\\x01(h\\x00tR" * 100000 + b"e")',
        "collections.Counter",
    ),
    "random generators without a state": (
        'upload(get("random", "Random") + b"\\x940](" + b"h\\x00)R" * 300000 + b"e")',
        "random.Random",
    ),
    "deques": ('upload(get("collections", "deque") + b"\\x940](" + b"h\\x00)R" * 300000 + b"e")', "collections.deque"),
    "a window in rust that ends the process": (
        'inside(new(get("river._river_rust.stats", "RsRollingQuantile"), double(0.5), number(10**13)))',
        "RsRollingQuantile",
    ),
    "a window as a parameter": (
        'upload(build(new(get("river.stats.quantile", "RollingQuantile")), mapping(q=double(0.5), window_size=number(10**13))))',
        "window_size",
    ),
    "a bagging of a billion models": (
        'upload(build(new(get("river.ensemble.bagging", "BaggingRegressor")), mapping(n_models=number(10**9))))',
        "n_models",
    ),
    "a regular expression without end": (
        'upload(build(new(get("river.feature_extraction.vectorize", "TFIDF")), mapping(tokenizer_pattern=text("(a+)+$"))))',
        "tokenizer_pattern",
    ),
    "tuples doubled 100 times": ('inside(doubling(b"N", 100))', "values"),
    "lists doubled 100 times": ("inside(doubling_lists(100))", "values"),
    "a key doubled 100 times": ('inside(b"}" + doubling(b"N", 100) + b"Ns")', "values"),
    "a set of a doubled tuple": ('inside(b"(" + doubling(b"N", 60) + b"\\x91")', "values"),
    "tuples in tuples": ('inside(b")" + b"\\x85" * 1_000_000)', "deep"),
    "lists in lists": ('inside(b"]" * 100_000 + b"a" * 99_999)', "deep"),
    "a key of tuples in tuples": ('inside(b"})" + b"\\x85" * 1_000_000 + b"Ns")', "key"),
    "marks in marks": ('upload(b"(" * 1_000_000)', "MARK"),
    "estimators in estimators": (
        'upload(get("river.compose.grouper", "Grouper") + b"\\x940" + text("transformer") + b"\\x940" + text("by") + b"\\x940"'
        ' + b"h\\x00)\\x81}(h\\x01" * 900 + b"N" + b"h\\x02Nub" * 900)',
        "deep",
    ),
    "operations without end": ('upload(b"N0" * 3_000_000)', "operations"),
    "a text of all the names": ('upload(get("os" * 10_000, "system" * 10_000))', "osos"),
}
