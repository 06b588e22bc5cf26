"""The program that the stress patches: functions in three versions that call each other and check whom they reach.

check(expected, got, where): counts one checked call; expected None: the caller has no version. `{v}` is the version.
"""
PLAIN = '''
def leaf(exp=None):
    check(exp, {v}, "leaf")
    return {v}

def B(exp, *, key=0):
    check(exp, {v}, "B")
    check({v}, leaf({v}), "B>leaf")
    return {v}

def A(n=0, *args, **more):
    check({v}, through(B, {v}), "A>B")
    check({v}, B({v}, key=1), "A>B2")
    return {v}

def R(n, exp=None):
    check(exp, {v}, "R")
    if n:
        check({v}, R(n - 1, {v}), "R>R")
    return leaf({v})

def E(n, exp=None):
    check(exp, {v}, "E")
    try:
        if n:
            E(n - 1, {v})
        raise ValueError(leaf({v}))
    except ValueError as e:
        check({v}, e.args[0], "E raised")
    try:
        X({v})
    except KeyError as e:
        check({v}, e.args[0], "X raised")
    return {v}

def X(exp):
    check(exp, {v}, "X")
    raise KeyError({v})

def W(way, more, exp=None):
    check(exp, {v}, "W")
    way(lambda *args: check({v}, leaf(), way.name))
    check({v}, leaf({v}), "W>leaf")
    if more:
        way(lambda *args: more(lambda *args: check({v}, through(B, {v}), (way.name, more.name))))
    return {v}

def S(exp=None):
    check({v}, leaf({v}), "S>leaf")
    sleep(random() * .01)
    check({v}, A(), "S>A")
    return {v}

def keyf(x):
    leaf()
    return x

class C:
    def m(self, exp=None):
        check(exp, {v}, "C.m")
        check({v}, self.p, "C.p")
        check({v}, self.s({v}), "C.s")
        return {v}

    @property
    def p(self):
        return leaf({v})

    @staticmethod
    def s(exp=None):
        check(exp, {v}, "s")
        return leaf({v})

    @classmethod
    def c(cls, exp=None):
        check(exp, {v}, "c")
        return cls.s({v})

class D(C):
    def m(self, exp=None):
        check({v}, super().m({v}), "super")
        return {v}

@lru_cache(maxsize=2)
def cached(x):
    return leaf()

@wrapping
def decorated(exp=None):
    check(exp, {v}, "decorated")
    check({v}, B({v}), "decorated>B")
    return {v}
'''

SUSPENDING = '''
def L(exp=None):
    check(exp, {v}, "L")
    return {v}

def G(n, exp=None):
    check(exp, {v}, "G")
    for i in range(n):
        check({v}, L({v}), "G>L")
        yield {v}
    check({v}, sum(L() for i in range(2)), "G>genexpr", 2)
    return {v}

def GG(n):
    r = yield from G(n, {v})
    check({v}, r, "GG>G")

async def BB(exp=None):
    check(exp, {v}, "BB")
    await asleep(random() * .005)
    check({v}, L({v}), "BB>L")
    return {v}

async def AA(exp=None):
    check({v}, L(), "AA>L")
    await asleep(random() * .01)
    check({v}, await BB({v}), "AA>BB")
    return {v}

async def AG(n, exp=None):
    for i in range(n):
        await asleep(0)
        check({v}, L({v}), "AG>L")
        yield {v}

async def AW():
    async for x in AG(3, {v}):
        check({v}, x, "AW>AG")
    await gather(BB(), AA())
    return {v}

async def AX():
    try:
        await AXX({v})
    except LookupError as e:
        check({v}, e.args[0], "AXX raised")
    return {v}

async def AXX(exp):
    check(exp, {v}, "AXX")
    await asleep(0)
    raise LookupError({v})

def YG(way, exp=None):
    check(exp, {v}, "YG")
    way(lambda *args: check({v}, L(), way.name))
    yield {v}
    way(lambda *args: check({v}, L(), way.name))

def Y(way):
    for x in YG(way, {v}):
        check({v}, x, "YG")
    return {v}

async def YA(way, exp=None):
    check(exp, {v}, "YA")
    way(lambda *args: check({v}, L(), way.name))
    await asleep(0)
    way(lambda *args: check({v}, L(), way.name))
    check({v}, await BB({v}), "YA>BB")
    return {v}

async def YC(library):
    check(None, await library(lambda: check({v}, L(), "cancelled")), "YC")
    return {v}

def W(switch, exp=None):
    check(exp, {v}, "W")
    switch()
    check({v}, L({v}), "W>L")
    switch()
    check({v}, WW(switch, {v}), "W>WW")
    return {v}

def WW(switch, exp=None):
    check(exp, {v}, "WW")
    switch()
    return L({v})
'''
