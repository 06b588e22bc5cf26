"""Frameworks that read a class or function when it is made: what they have made of it stays, unless it is made anew or
refused."""
# ruff: noqa: E501, UP031    a line of the table is a release
from tests.cases.kinds.kind import Kind

PYD = "from typing import Annotated, Optional\nfrom pydantic import BaseModel, ConfigDict, Field, field_validator\nclass M(BaseModel):\n    {}\n" \
      "def t(**v):\n    try: return M(**v).model_dump()\n    except Exception as e: return type(e).__name__\n"
API = "from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query\nfrom fastapi.testclient import TestClient\nfrom typing import Annotated\n" \
      "def deny(q: str = ''):\n    if len(q) > 3: raise HTTPException(403)\napp = FastAPI()\n{}\nc = TestClient(app)\ndef t(q): return c.get('/r', params={{'q': q}}).status_code\n"
SQL = "from sqlalchemy import Column, Integer, String, CheckConstraint, select\nfrom sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n" \
      "class Base(DeclarativeBase): pass\nclass User(Base):\n    __tablename__ = 'u'\n    id: Mapped[int] = mapped_column(primary_key=True)\n    {}\ndef cols(): return [c.name + str(c.type) for c in User.__table__.columns]\n"
DJ = "from django.conf import settings\nif not settings.configured: settings.configure(INSTALLED_APPS=[], DATABASES={{}})\nimport django\ndjango.setup()\nfrom django.db import models\n" \
     "class U(models.Model):\n    {}\n    class Meta: app_label = 'klp'\ndef f(): return [(f.name, f.max_length) for f in U._meta.get_fields()]\n"
FORM = "from django.conf import settings\nif not settings.configured: settings.configure()\nimport django\ndjango.setup()\nfrom django import forms\n" \
       "class F(forms.Form):\n    {}\ndef t(v): return F({{'a': v}}).is_valid()\n"
ATT = "import attr\n@attr.s(auto_attribs=True)\nclass A:\n    {}\na = A(1)\n"
CLK = "import click\nfrom click.testing import CliRunner\n@click.command()\n{}\ndef run(n): click.echo('got %s' % n)\ndef t(*a):\n    r = CliRunner().invoke(run, a)\n    return r.exit_code, r.output[:20]\n"
MAR = "from marshmallow import Schema, fields, validate\nclass S(Schema):\n    {}\ndef t(**v):\n    try: return S().load(v)\n    except Exception as e: return type(e).__name__\n"
PB = "from google.protobuf import descriptor_pb2, descriptor_pool, message_factory\nP = descriptor_pool.DescriptorPool()\nF = descriptor_pb2.FileDescriptorProto(name='k.proto', package='k')\nM = F.message_type.add(name='M')\n{}\nP.Add(F)\nD = P.FindMessageTypeByName('k.M')\ndef f(): return [x.name for x in D.fields]\n"


def two(form, old, new):
    return form.format(old), form.format(new)


KINDS = [
    Kind("pydantic: a constraint in the default", *two(PYD, "x: int = 1", "x: int = Field(1, ge=0)"), ("m.t(x=-5)",), needs=("pydantic",)),
    Kind("pydantic: an annotation alone", *two(PYD, "x: int", "x: Annotated[int, Field(lt=9)]"), ("m.t(x=10)",), needs=("pydantic",)),
    Kind("pydantic: an annotation of another type", *two(PYD, "x: int", "x: str"), ("m.t(x='a')",), needs=("pydantic",)),
    Kind("pydantic: optional", *two(PYD, "x: int", "x: Optional[int] = None"), ("m.t()",), needs=("pydantic",)),
    Kind("pydantic: a validator more", *two(PYD, "x: int", "x: int\n    @field_validator('x')\n    @classmethod\n    def no(cls, v):\n        if v < 0: raise ValueError('negative')\n        return v"), ("m.t(x=-5)",), needs=("pydantic",)),
    Kind("pydantic: a validator's body", *two(PYD, "x: int\n    @field_validator('x')\n    @classmethod\n    def no(cls, v):\n        return v", "x: int\n    @field_validator('x')\n    @classmethod\n    def no(cls, v):\n        if v < 0: raise ValueError('negative')\n        return v"), ("m.t(x=-5)",), needs=("pydantic",), carried=True),
    Kind("pydantic: model_config", *two(PYD, "x: int = 1", "model_config = ConfigDict(extra='forbid')\n    x: int = 1"), ("m.t(y=1)",), needs=("pydantic",)),
    Kind("pydantic: a field more", *two(PYD, "x: int = 1", "x: int = 1\n    y: int = 2"), ("m.t(y=5)",), needs=("pydantic",)),
    Kind("pydantic: a constant in a constraint", *[("N = %d\n" % n) + PYD.format("x: int = Field(1, le=N)") for n in (10, 5)], ("m.t(x=7)",), needs=("pydantic",)),
    Kind("pydantic: a method of the model", *two(PYD, "x: int = 1\n    def double(self): return self.x * 2", "x: int = 1\n    def double(self): return self.x * 3"), ("m.M().double()",), needs=("pydantic",), carried=True),
    Kind("fastapi: a dependency of a route", *two(API, "@app.get('/r')\ndef r(q: str): return q", "@app.get('/r', dependencies=[Depends(deny)])\ndef r(q: str): return q"), ("m.t('aaaaa')",), needs=("fastapi", "httpx")),
    Kind("fastapi: a parameter's annotation", *two(API, "@app.get('/r')\ndef r(q: str): return q", "@app.get('/r')\ndef r(q: Annotated[str, Query(max_length=3)]): return q"), ("m.t('aaaaa')",), needs=("fastapi", "httpx")),
    Kind("fastapi: a parameter's default", *two(API, "@app.get('/r')\ndef r(q: str = ''): return q", "@app.get('/r')\ndef r(q: str = Query('', max_length=3)): return q"), ("m.t('aaaaa')",), needs=("fastapi", "httpx")),
    Kind("fastapi: a route's status code", *two(API, "@app.get('/r')\ndef r(q: str): return q", "@app.get('/r', status_code=202)\ndef r(q: str): return q"), ("m.t('a')",), needs=("fastapi", "httpx")),
    Kind("fastapi: a router's dependency", *two(API, "a = APIRouter()\n@a.get('/r')\ndef r(q: str): return q\napp.include_router(a)", "a = APIRouter(dependencies=[Depends(deny)])\n@a.get('/r')\ndef r(q: str): return q\napp.include_router(a)"), ("m.t('aaaaa')",), needs=("fastapi", "httpx")),
    Kind("fastapi: a route's body", *two(API, "@app.get('/r')\ndef r(q: str): return q", "@app.get('/r')\ndef r(q: str):\n    if len(q) > 3: raise HTTPException(403)\n    return q"), ("m.t('aaaaa')",), needs=("fastapi", "httpx"), carried=True),
    Kind("fastapi: a dependency's body", *[each.replace("> 3", limit) for each in (API.format("@app.get('/r', dependencies=[Depends(deny)])\ndef r(q: str): return q"),) for limit in ("> 3", "> 1")], ("m.t('aa')",), needs=("fastapi", "httpx"), carried=True),
    Kind("fastapi: a middleware more", *two(API, "@app.get('/r')\ndef r(q: str): return q", "@app.middleware('http')\nasync def mw(request, call_next):\n    from fastapi.responses import Response\n    return Response(status_code=418)\n@app.get('/r')\ndef r(q: str): return q"), ("m.t('a')",), needs=("fastapi", "httpx")),
    Kind("sqlalchemy: a column more", *two(SQL, "name: Mapped[str] = mapped_column(String(9))", "name: Mapped[str] = mapped_column(String(9))\n    age: Mapped[int] = mapped_column(default=0)"), ("m.cols()", "str(m.select(m.User))[:30]"), needs=("sqlalchemy",)),
    Kind("sqlalchemy: a column's type", *two(SQL, "name: Mapped[str] = mapped_column(String(9))", "name: Mapped[str] = mapped_column(String(5))"), ("m.cols()",), needs=("sqlalchemy",)),
    Kind("sqlalchemy: a column by its annotation", *two(SQL, "name: Mapped[str]", "name: Mapped[int]"), ("m.cols()",), needs=("sqlalchemy",)),
    Kind("sqlalchemy: a method", *two(SQL, "def hi(self): return 1", "def hi(self): return 2"), ("m.User().hi()",), needs=("sqlalchemy",), carried=True),
    Kind("django: a model field's length", *two(DJ, "a = models.CharField(max_length=5)", "a = models.CharField(max_length=3)"), ("m.f()",), needs=("django",)),
    Kind("django: a model field more", *two(DJ, "a = models.CharField(max_length=5)", "a = models.CharField(max_length=5)\n    b = models.CharField(max_length=7)"), ("m.f()",), needs=("django",)),
    Kind("django: a model's method", *two(DJ, "a = models.CharField(max_length=5)\n    def hi(self): return 1", "a = models.CharField(max_length=5)\n    def hi(self): return 2"), ("m.U(a='x').hi()",), needs=("django",), carried=True),
    Kind("django: a form field's argument", *two(FORM, "a = forms.CharField()", "a = forms.CharField(max_length=2)"), ("m.t('abc')",), needs=("django",)),
    Kind("django: a form field more", *two(FORM, "a = forms.CharField()", "a = forms.CharField()\n    b = forms.CharField()"), ("m.t('abc')",), needs=("django",)),
    Kind("attrs: a default", *two(ATT, "x: int\n    y: int = 1", "x: int\n    y: int = 2"), ("m.a.y", "m.A(3).y"), needs=("attr",)),
    Kind("attrs: a validator", *two(ATT, "x: int = attr.ib()", "x: int = attr.ib(validator=attr.validators.instance_of(int))"), ("m.A('s')",), needs=("attr",)),
    Kind("attrs: a field more", *two(ATT, "x: int", "x: int\n    y: int = 5"), ("m.a.y", "m.A(3, 4).y", "repr(m.a)"), needs=("attr",)),
    Kind("attrs: a converter", *two(ATT, "x: int = attr.ib()", "x: int = attr.ib(converter=str)"), ("m.A(3).x", "m.a.x"), needs=("attr",)),
    Kind("attrs: a method", *two(ATT, "x: int\n    def f(self): return self.x", "x: int\n    def f(self): return self.x + 1"), ("m.a.f()",), needs=("attr",), carried=True),
    Kind("attrs: define with slots, a field more", "from attrs import define\n@define\nclass A:\n    x: int\n    def f(self): return self.x\na = A(1)\n", "from attrs import define\n@define\nclass A:\n    x: int\n    y: int = 3\n    def f(self): return self.x + self.y\na = A(1)\n", ("m.a.f()", "m.A(1, 1).f()", "mine.f()"), live="mine = m.A(4)", needs=("attr",)),
    Kind("click: an option's default", *two(CLK, "@click.option('-n', default=1)", "@click.option('-n', default=2)"), ("m.t()",), needs=("click",)),
    Kind("click: an option's type", *two(CLK, "@click.option('-n', type=int)", "@click.option('-n', type=click.IntRange(0, 5))"), ("m.t('-n', '9')",), needs=("click",)),
    Kind("click: a command's body", *[CLK.format("@click.option('-n', default=1)").replace("got", words) for words in ("got", "had")], ("m.t()",), needs=("click",), carried=True),
    Kind("click: a command more in a group", "import click\n@click.group()\ndef g(): pass\n@g.command()\ndef a(): pass\n", "import click\n@click.group()\ndef g(): pass\n@g.command()\ndef a(): pass\n@g.command()\ndef b(): pass\n", ("sorted(m.g.commands)",), needs=("click",)),
    Kind("marshmallow: a validator", *two(MAR, "n = fields.Int()", "n = fields.Int(validate=validate.Range(max=5))"), ("m.t(n=9)",), needs=("marshmallow",)),
    Kind("marshmallow: a field more", *two(MAR, "n = fields.Int()", "n = fields.Int()\n    z = fields.Str(required=True)"), ("m.t(n=1)", "m.t(n=1, z='')"), needs=("marshmallow",)),
    Kind("marshmallow: a schema's option", *two(MAR, "n = fields.Int()", "n = fields.Int()\n    class Meta: unknown = 'exclude'"), ("m.t(n=1, q=2)",), needs=("marshmallow",)),
    Kind("protobuf: a field more", *two(PB, "M.field.add(name='a', number=1, type=5, label=1)", "M.field.add(name='a', number=1, type=5, label=1)\nM.field.add(name='b', number=2, type=5, label=1)"), ("m.f()",), needs=("google.protobuf",)),
]
