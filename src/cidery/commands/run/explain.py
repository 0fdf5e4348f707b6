"""cid explain."""

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.cid import Difference, Explained
from cidery.core.reading.explain import explain as explain_cids
from cidery.core.reading.resolve import resolve


async def explain(context: Context, call: Call) -> Explained:
    """The shapes of both DAGs are read only if their CIDs do not explain the difference."""
    async with context.node.session() as session:
        a, b = [await resolve(await context.node.locate(call.one(name)), session) for name in ("a", "b")]
        found = await explain_cids(a, b, session)
    return Explained(
        A=cid_text(a, call),
        B=cid_text(b, call),
        Same=found.same,
        Differences=[Difference(Setting=one.setting, A=one.a, B=one.b, Option=one.option) for one in found.differences],
        Conclusion=found.conclusion,
    )
