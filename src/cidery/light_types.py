"""NamedTuple, TypedDict and Enum for modules that a small command imports: importing the real ones takes a third of its
time, and making their classes another tenth.

Use them so, with ``from __future__ import annotations``; type checkers see the real ones:

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from typing import NamedTuple
    else:
        from cidery.light_types import NamedTuple
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]  # of which collections makes its fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self


class _Record(type):
    """The class of classes of named fields."""

    def __new__(meta, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        names = tuple(body.get("__annotations__", ()))
        defaults = {field: body[field] for field in names if field in body}
        body |= {field: _tuplegetter(place, None) for place, field in enumerate(names)}
        body |= {"__slots__": (), "_fields": names, "_field_defaults": defaults, "__match_args__": names}
        return super().__new__(meta, name, bases, body)


class NamedTuple(tuple, metaclass=_Record):  # type: ignore[type-arg]
    """As typing.NamedTuple: fields by annotations, defaults by values."""

    _fields: tuple[str, ...]
    _field_defaults: dict[str, Any]

    def __new__(cls, *values: Any, **named: Any) -> Self:
        names = cls._fields
        if named or len(values) != len(names):
            defaults = cls._field_defaults
            try:
                rest = [named.pop(one) if one in named else defaults[one] for one in names[len(values) :]]
            except KeyError as exc:
                raise TypeError(f"{cls.__name__}() misses the argument {exc}") from None
            if named or len(values) > len(names):
                raise TypeError(f"{cls.__name__}() takes {len(names)} arguments: {', '.join(names)}")
            values = (*values, *rest)
        return tuple.__new__(cls, values)

    def _replace(self, **named: Any) -> Self:
        """A copy with other values of some fields."""
        values = [named.pop(name, value) for name, value in zip(self._fields, self, strict=True)]
        if named:
            raise ValueError(f"no such fields: {', '.join(named)}")
        return tuple.__new__(type(self), values)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{type(self).__name__}({shown})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)


class _Shape(type):
    """The class of shapes of dictionaries. Their annotations are texts, which ``typing`` can read."""

    def __call__(cls, *made: Any, **fields: Any) -> Any:
        """A dictionary; or, as TypedDict(name, fields), another class."""
        if made:
            name, annotations = made
            return _Shape(name, (TypedDict,), {"__annotations__": annotations, "__module__": __name__})
        return fields


class TypedDict(metaclass=_Shape):
    """As typing.TypedDict: a call makes a plain dictionary."""


class _Words(type):
    """The class of classes of a few named objects."""

    _members: tuple[Any, ...]

    def __new__(meta, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        made: Any = super().__new__(meta, name, bases, body)
        members = []
        for key, value in body.items():
            if isinstance(value, str) and not key.startswith("_"):
                member = object.__new__(made)
                member.name, member.value = key, value
                setattr(made, key, member)
                members.append(member)
        made._members = tuple(members)
        return made

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls._members)


class Enum(metaclass=_Words):
    """As enum.Enum, for members whose values are texts; compared by identity."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (type(self), self.name)
