"""The laws of the cost, and stories of the policies made of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.costs import LeastCost
from routing.choosing.explain import explain
from routing.choosing.policy import choose
from routing.choosing.usable import usable
from routing.facts import NO_NEEDS, Needs, RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.lease import Lease, LeaseSeries
from routing.model import Endpoint
from routing.prefix.chain import chain, seed
from routing.replicas import quota
from routing.replicas.replica import ReplicaState
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from tests.routing.fleets import OPERATION, SPOKEN, endpoints, route_of, trip

KEY = seed(b"m")


class Told:
    """A request's source that has only a prompt."""

    def __init__(self, prompt: bytes) -> None:
        self._prompt = prompt

    def prefix(self) -> Sequence[int]:
        return chain(self._prompt, KEY)

    def session(self) -> str:
        return ""

    def needs(self) -> Needs:
        return NO_NEEDS


def asks(prompt: bytes, output_tokens: int = 32) -> RequestFacts:
    return RequestFacts(OPERATION, max(1, len(prompt) // 4), output_tokens, Told(prompt))


def sent(
    route: ModelRoute, prompt: bytes, now: float = 0.0, rng: random.Random | None = None
) -> tuple[Endpoint, Lease]:
    facts = asks(prompt)
    endpoint = choose(route, facts, now, rng or random.Random(0))
    assert endpoint is not None
    lease = Lease(endpoint.state, facts, now, None, LeaseSeries())
    route.sent(facts, endpoint)
    return endpoint, lease


def text(name: str, size: int = 12_000) -> bytes:
    return (name.encode() * size)[:size]


def test_a_prompt_goes_where_its_beginning_went() -> None:
    route, rng = route_of(4, policy="prefix"), random.Random(1)
    homes: dict[str, Endpoint] = {}
    for turn in range(5):
        leases = []
        for name in ("alpha", "beta", "gamma", "delta"):
            endpoint, lease = sent(route, text(name) + b"x" * 300 * turn, turn * 10.0, rng)
            assert homes.setdefault(name, endpoint) is endpoint
            leases.append(lease)
        for lease in leases:
            lease.first_byte()
            lease.release(turn * 10.0 + 1.0)
    assert len(set(homes.values())) == 4  # each was new while the others' homes had something to prefill


def test_only_what_is_not_cached_is_charged_and_all_of_it_comes_back() -> None:
    route = route_of(1, policy="prefix")
    state = route.whole.pools[0][0].state
    _, first = sent(route, text("a"))
    assert state.prefill_tokens == 3000
    _, second = sent(route, text("a") + b"more" * 64)
    assert 3000 < state.prefill_tokens < 3200
    second.first_byte()
    first.release(1.0)
    second.release(1.0)
    assert (state.prefill_tokens, state.in_flight_tokens, state.in_flight_requests) == (0, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 12)), max_size=20), st.integers(1, 12))
def test_what_each_replica_holds_of_a_prompt_is_known_however_many_hold_it(
    held: list[tuple[int, int]], blocks: int
) -> None:
    table = ReplicaTable()
    stranger = table.get(("e", "of another model"))
    index, slots = table.prefixes, [table.slot_of(stranger)]
    names = tuple(str(at) for at in range(8))
    pool = build_fleet([ModelSpec("m", (TargetSpec("e", "up", names, SPOKEN),), "prefix")], table).models["m"]
    slots += [endpoint.state.slot for endpoint in endpoints(pool)]
    keys = chain(bytes(256 * 12), KEY)
    for at, depth in held:
        index.add(keys[:depth], slots[at])
    (picker,) = pool.whole.pickers
    assert isinstance(picker, LeastCost)
    facts = asks(bytes(256 * blocks))
    match = facts.matched(index)
    expected = [facts.tokens_of(match.depth_of(slot)) for slot in slots[1:]]
    assert picker._cached(facts) == (expected if match.points else [])


@pytest.mark.parametrize(("busy", "prompts"), [(False, 1), (True, 2)])
def test_a_hot_prefix_spreads_when_its_home_has_more_to_do_than_it_costs_to_compute_again(
    busy: bool, prompts: int
) -> None:
    """Its own time alone, where nobody else goes; once more where as many do as to its home."""
    route, rng = route_of(2, policy="prefix"), random.Random(1)
    home, _ = sent(route, text("hot"), 0.0, rng)
    (other,) = [one for one in route.whole.pools[0] if one is not home]
    if busy:
        other.state.charge(0, 32)
    home.state.prefill_tokens = (prompts - 1) * 3000 + 2000
    assert choose(route, asks(text("hot")), 1.0, rng) is home
    home.state.prefill_tokens = prompts * 3000 + 1000
    assert choose(route, asks(text("hot")), 1.0, rng) is other


@pytest.mark.parametrize(("prompts", "waiting_tokens"), [(2, 3 * 3000), (7, 6 * 3000)])
def test_a_hot_prefix_spreads_the_sooner_the_more_room_there_is(prompts: int, waiting_tokens: int) -> None:
    """8 prompts fill a cache: 2 hot ones are little of it, 7 nearly all."""
    route, rng = route_of(2, policy="prefix"), random.Random(1)
    home, other = route.whole.pools[0]
    for endpoint in (home, other):
        endpoint.state.charge(0, 32)
    index = route.prefixes
    assert index is not None
    index.limit(home.state.slot, 8 * len(chain(text("p"), KEY)))
    for at in range(20 * prompts):
        index.add(chain(text(f"{at % prompts}"), KEY), home.state.slot)
    index.add(chain(text("old"), KEY), other.state.slot)

    def chosen(waiting: int, now: float) -> Endpoint | None:
        home.state.prefill_tokens = waiting
        return choose(route, asks(text("0")), now, rng)

    assert chosen(waiting_tokens // 2, 1.0) is home
    assert chosen(waiting_tokens, 2.0) is other


def test_of_unlike_replicas_the_faster_is_given_more() -> None:
    route, rng = route_of(2, policy="latency"), random.Random(1)
    slow, fast = route.whole.pools[0]
    for step in range(100):
        tokens = 80.0 * step
        slow.state.prefill.learn(tokens, 20.0 + 0.3 * tokens, step * 0.1)
        fast.state.prefill.learn(tokens, 20.0 + 0.1 * tokens, step * 0.1)
    took = Counter(sent(route, text(f"{i}", 4000), 10.0, rng)[0].replica for i in range(400))
    assert 2.2 < took[fast.replica] / took[slow.replica] < 3.1  # as far as two are enough to be sure of it


def test_a_full_cache_is_spared_for_one_with_room() -> None:
    route, rng = route_of(2, policy="prefix"), random.Random(1)
    a, b = route.whole.pools[0]
    assert route.prefixes is not None
    route.prefixes.limit(a.state.slot, 40)
    route.prefixes.add(chain(text("old"), KEY), a.state.slot)
    assert {sent(route, text(f"new{i}", 600), 100.0 * i, rng)[0] for i in range(20)} == {
        b
    } or a.state.in_flight_requests


def test_peers_that_share_no_index_send_a_new_prefix_to_the_same_place() -> None:
    def homes(peers: int) -> float:
        workers = [route_of(4, policy="prefix", peers=peers) for _ in range(2)]
        same = 0
        for i in range(100):
            chosen = []
            for number, route in enumerate(workers):
                _, other = sent(route, text(f"{number} alone {i}", 2000), float(i), random.Random(1000 * number + i))
                other.release(float(i))
                endpoint, lease = sent(route, text(f"p{i}", 3000), float(i), random.Random(1000 * number + i))
                lease.release(float(i))
                chosen.append(endpoint.replica)
            same += chosen[0] == chosen[1]
        return same / 100

    assert homes(2) > 0.95
    assert homes(1) < 0.6


def test_how_many_choose_may_change_at_any_time_and_no_picker_is_built_anew() -> None:
    table = ReplicaTable()
    spec = ModelSpec("m", (TargetSpec("e", "up", ("0", "1", "2", "3"), SPOKEN),), "prefix")
    (picker,) = build_fleet([spec], table).models["m"].whole.pickers

    def home(now: float) -> Endpoint | None:
        facts = asks(text("p", 4000))
        picker.pick(facts, now, random.Random(1))
        return picker.home(facts, now)

    homes = [home(0.0)]
    for now, gateways in enumerate([{"e": 2}, {"e": 64}, {"e": 1}, {"e": 0}, {"other": 3}, {"e": 2}, {}], 1):
        table.gateways = gateways
        homes.append(home(float(now)))
    assert [one is not None for one in homes] == [False, True, True, False, False, False, True, False]
    assert homes[1] is homes[2] is homes[6]


@pytest.mark.parametrize("policy", ["prefix", "session"])
@pytest.mark.parametrize("away", ["drains", "ejected", "broken", "unhealthy"])
def test_while_a_home_is_away_all_agree_on_the_next_one_and_on_it_again_when_it_is_back(policy: str, away: str) -> None:
    gateways = [route_of(5, policy=policy, peers=2) for _ in range(2)]

    def homes(now: float) -> list[set[str]]:
        found = []
        for number in range(60):
            prompt = text(f"{now} {number}", 3000)
            facts = [asks(prompt) if policy == "prefix" else in_session(f"s{number}") for _ in gateways]
            chosen = [
                choose(route, each, now, random.Random(n))
                for n, (route, each) in enumerate(zip(gateways, facts, strict=True))
            ]
            found.append({one.replica for one in chosen if one is not None})
        return found

    before = homes(0.0)
    assert {len(names) for names in before} == {1}
    for route in gateways:
        state = endpoints(route)[2].state
        match away:
            case "drains":
                state.draining = True
            case "ejected":
                state.eject(0.0, 30.0, 300.0)
            case "broken":
                trip(state.breaker, 0.0, random.Random(1))
            case _:
                state.healthy = False
    during = homes(0.5)
    assert {len(names) for names in during} == {1}
    assert set.union(*during) == {"0", "1", "3", "4"}
    if policy == "session":  # whose home is not away stays
        moved = [was for was, now in zip(before, during, strict=True) if was != now]
        assert moved == [{"2"}] * len(moved) != []
    for route in gateways:
        state = endpoints(route)[2].state
        state.draining, state.healthy = False, True
    assert {len(names) for names in homes(100.0)} == {1}


def test_in_a_panic_and_where_nobody_is_available_a_home_is_who_owns_it() -> None:
    route = route_of(3, policy="session")
    pool, (picker,) = endpoints(route), route.whole.pickers
    home = picker.home(in_session("s"), 0.0)
    others = [one for one in pool if one is not home]
    assert home is not None
    home.state.healthy = False
    assert picker.home(in_session("s"), 0.0) in others
    others[0].state.healthy = False  # one of three is up: what probes say is not believed
    assert picker.home(in_session("s"), 0.0) is home
    for one in pool:
        one.state.healthy, one.state.draining = True, True
    assert picker.home(in_session("s"), 0.0) is home


def in_session(name: str) -> RequestFacts:
    return RequestFacts(OPERATION, 1000, 32, Session(name))


def test_a_plain_answers_prompt_counts_as_ahead_for_as_long_as_its_prefill_should_take() -> None:
    route = route_of(1, policy="latency")
    state = route.whole.pools[0][0].state
    facts = asks(text("a"))
    facts.streams = False
    lease = Lease(state, facts, 0.0, None, LeaseSeries())
    assert state.ahead_tokens(0.0) == pytest.approx(3000.0)
    assert state.ahead_tokens(0.15) == pytest.approx(1500.0)
    assert state.ahead_tokens(1.0) == 0.0
    lease.first_byte()
    lease.works(20.0, random.Random(1))
    lease.release(20.0)
    assert (state.prefill_tokens, state.in_flight_tokens, state.prefill.learned) == (0, 0, False)


def test_a_replica_that_fails_fast_is_not_learned_to_be_fast() -> None:
    route = route_of(1, policy="latency")
    state = route.whole.pools[0][0].state
    lease = Lease(state, asks(text("a")), 0.0, None, LeaseSeries())
    lease.first_byte()  # of a 200 whose first event is an error
    lease.release(0.001)
    assert not state.prefill.learned


numbers = st.integers(0, 50_000)


@settings(deadline=None)
@given(
    loads=st.lists(st.tuples(numbers, st.integers(0, 300)), min_size=2, max_size=8),
    more=st.tuples(numbers, st.integers(0, 300)),
    seed=st.integers(0, 99),
    policy=st.sampled_from(["latency", "prefix"]),
)
def test_a_replica_that_was_not_chosen_is_not_chosen_for_having_more_to_do(
    loads: list[tuple[int, int]], more: tuple[int, int], seed: int, policy: str
) -> None:
    route = route_of(len(loads), policy=policy)
    pool = route.whole.pools[0]
    for endpoint, (tokens, requests) in zip(pool, loads, strict=True):
        load(endpoint.state, tokens, requests)
    before = choose(route, asks(text("x")), 0.0, random.Random(seed))
    assert before is not None
    (loser, *_) = [one for one in pool if one is not before]
    load(loser.state, loser.state.prefill_tokens + more[0], loser.state.in_flight_requests + more[1])
    assert choose(route, asks(text("x")), 0.0, random.Random(seed)) is before


@settings(deadline=None)
@given(prompts=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3000)), max_size=12), seed=st.integers(0, 9))
def test_a_choice_changes_nothing(prompts: list[tuple[str, int]], seed: int) -> None:
    route, rng = route_of(3, policy="prefix"), random.Random(seed)
    for name, size in prompts:
        sent(route, text(name, size), 0.0, rng)
    assert route.prefixes is not None

    def everything() -> list[object]:
        index = route.prefixes
        assert index is not None
        return [
            (one.state.in_flight_tokens, one.state.prefill_tokens, index.held(one.state.slot))
            for one in route.whole.pools[0]
        ]

    before = everything()
    facts = [choose(route, asks(text(name, size)), 0.0, random.Random(seed)) for name, size in prompts]
    assert facts == [choose(route, asks(text(name, size)), 0.0, random.Random(seed)) for name, size in prompts]
    assert everything() == before


def load(state: ReplicaState, tokens: int, requests: int) -> None:
    state.prefill_tokens = state.in_flight_tokens = tokens
    state.in_flight_requests = requests


def test_of_equal_engines_the_cheaper_is_asked_until_it_costs_more_time_than_it_saves() -> None:
    def choice(policy: str, ms_per_usd: float | None, busy_tokens: int) -> str:
        dear = TargetSpec("dear", "up", ("0",), SPOKEN, 0, 1.0, 3e-6, 15e-6)
        cheap = TargetSpec("cheap", "up", ("0",), SPOKEN, 0, 1.0, 1e-7, 4e-7)
        spec = ModelSpec("m", (dear, cheap), policy, ms_per_usd=ms_per_usd)
        route = build_fleet([spec], ReplicaTable()).models["m"]
        _, place = route.whole.pools[0]
        place.state.prefill_tokens = busy_tokens
        chosen = choose(route, asks(text("x")), 0.0, random.Random(1))
        assert chosen is not None
        return chosen.engine

    assert choice("cheapest", None, 20_000) == "cheap"
    assert choice("latency", 1e5, 0) == "cheap"
    assert choice("latency", 1e5, 20_000) == "dear"  # 2 s more to wait for 0.9 cents less
    assert choice("latency", 0.0, 1000) == "dear"


def overflowing(slo_ttft_ms: float = 500.0) -> ModelRoute:
    own = TargetSpec("own", "up", ("0", "1"), SPOKEN, 0)
    hosted = TargetSpec("hosted", "up", ("api",), SPOKEN, 1, 1.0, 3e-6, 15e-6)
    spec = ModelSpec("m", (own, hosted), "slo", slo_ttft_ms=slo_ttft_ms)
    return build_fleet([spec], ReplicaTable()).models["m"]


def test_what_our_own_would_answer_late_overflows_and_comes_back_once_they_have_recovered() -> None:
    route = overflowing()
    own = route.whole.pools[0]

    def engine(waiting_tokens: int, now: float) -> str:
        for endpoint in own:
            endpoint.state.prefill_tokens = waiting_tokens
        chosen = choose(route, asks(b"short"), now, random.Random(1))
        assert chosen is not None
        return chosen.engine

    # 20 ms, and 0.1 ms a token: the objective of 500 ms is met up to 4,800 tokens, 70 % of it up to 3,300.
    told = [engine(tokens, 0.0) for tokens in (0, 4700, 4900, 4700, 3400, 3200, 4700)]
    assert told == ["own", "own", "hosted", "hosted", "hosted", "own", "hosted"]
    # It has recovered once nothing was late for 2 s; only what was counts.
    told = [engine(tokens, now) for now, tokens in ((1.0, 3400), (2.9, 3200), (3.1, 4700), (3.2, 4900), (3.3, 3400))]
    assert told == ["hosted", "own", "own", "hosted", "hosted"]


def test_a_prompt_that_no_engine_would_answer_in_time_is_no_sign_of_overload() -> None:
    route = overflowing()
    long, short = (RequestFacts(OPERATION, tokens, 0) for tokens in (6000, 4000))
    told = [choose(route, facts, 0.0, random.Random(1)) for facts in (long, short)]
    assert told[1] is not None
    assert told[1].engine == "own"  # 420 ms: over what would be due if the pool overflowed


def test_overflow_begins_once_and_ends_once_whatever_the_sizes_of_prompts_between() -> None:
    """Two engines of 10 tokens a millisecond; long prompts and short ones by turns, at 40 % of what they can do, at
    150 % for 20 s, and at 40 % again."""
    route = overflowing()
    own, picker = route.whole.pools[0], route.whole.pickers[0]
    assert isinstance(picker, LeastCost)
    rng = random.Random(7)
    queues: dict[Endpoint, list[list[float]]] = {endpoint: [] for endpoint in own}
    changes: list[float] = []
    served = {"before": [0, 0], "overload": [0, 0], "after": [0, 0]}
    latest_ms = now = 0.0
    overflowing_now = False
    while now < 60.0:
        phase = "before" if now < 20.0 else "overload" if now < 40.0 else "after"
        took_s = rng.expovariate(1.0) * 700 / 20_000 / (1.5 if phase == "overload" else 0.4)
        now += took_s
        for endpoint, queue in queues.items():
            left = took_s * 10_000.0
            while queue and left > 0.0:
                done = min(left, queue[0][1])
                queue[0][1] -= done
                left -= done
                if queue[0][1] <= 0.0:
                    endpoint.state.first_byte(int(queue.pop(0)[0]))
        tokens = rng.choice((1200, 200))
        facts = RequestFacts(OPERATION, tokens, 0)
        chosen = choose(route, facts, now, rng)
        assert chosen is not None
        served[phase][chosen.engine == "own"] += tokens
        if chosen in queues:
            latest_ms = max(latest_ms, sum(left for _, left in queues[chosen]) / 10.0 + tokens / 10.0)
            chosen.state.charge(tokens, 0)
            queues[chosen].append([tokens, float(tokens)])
        if picker.overflows(now) != overflowing_now:
            overflowing_now = not overflowing_now
            changes.append(now)
    begins_s, ends_s = changes
    assert 20.0 < begins_s < 22.0
    assert 40.0 < ends_s < 44.0
    assert served["before"][0] == 0
    assert served["overload"][1] > 0.95 * 20.0 * 20_000  # our own stay busy
    assert served["after"][0] < 0.03 * served["after"][1]
    assert latest_ms < 500.0


@pytest.mark.parametrize(("hosted_tokens", "serves"), [(100_000, "own"), (6_000, "hosted")])
def test_when_every_tier_would_be_late_the_one_that_is_soonest_serves(hosted_tokens: int, serves: str) -> None:
    route = overflowing()
    for endpoint in route.endpoints():
        endpoint.state.prefill_tokens = 100_000
    route.whole.pools[1][0].state.prefill_tokens = hosted_tokens
    facts = asks(b"short")
    chosen = choose(route, facts, 0.0, random.Random(1))
    assert chosen is not None
    assert chosen.engine == serves
    assert explain(route, facts, 0.0, random.Random(1)).chosen is chosen


def test_another_policy_keeps_to_its_tier_whatever_the_objective() -> None:
    spec = ModelSpec(
        "m",
        (TargetSpec("own", "up", ("0",), SPOKEN, 0), TargetSpec("hosted", "up", ("api",), SPOKEN, 1)),
        "prefix",
        slo_ttft_ms=1.0,
    )
    route = build_fleet([spec], ReplicaTable()).models["m"]
    route.whole.pools[0][0].state.prefill_tokens = 100_000
    chosen = choose(route, asks(b"short"), 0.0, random.Random(1))
    assert chosen is not None
    assert chosen.engine == "own"


class Session(Told):
    """A request that names its session."""

    def __init__(self, session: str) -> None:
        super().__init__(b"")
        self._session = session

    def session(self) -> str:
        return self._session


def test_sessions_have_homes_that_everybody_agrees_on_and_leave_them_only_when_it_pays() -> None:
    gateways = [route_of(5, policy="session") for _ in range(2)]
    homes: Counter[str] = Counter()
    for number in range(200):
        facts = [RequestFacts(OPERATION, 1000, 32, Session(f"s{number}")) for _ in gateways]
        chosen = [
            choose(route, each, 0.0, random.Random(n))
            for n, (route, each) in enumerate(zip(gateways, facts, strict=True))
        ]
        names = {one.replica for one in chosen if one is not None}
        assert len(names) == 1
        homes.update(names)
    assert len(homes) == 5
    route = gateways[0]
    home = choose(route, RequestFacts(OPERATION, 1000, 32, Session("s0")), 0.0, random.Random(1))
    assert home is not None
    home.state.prefill_tokens = 5500
    assert choose(route, RequestFacts(OPERATION, 1000, 32, Session("s0")), 0.0, random.Random(1)) is not home


class Known(Told):
    """A prompt of a conversation that names itself."""

    def session(self) -> str:
        return "s1"


def any_pool(rng: random.Random, policy: str) -> ModelRoute:
    """A tier of one or two engines, or of two models of one, with or without each of the rarer terms, whose replicas
    are in any state at 0.5."""
    once, apart = rng.random() < 0.5, rng.random() < 0.8
    targets = tuple(
        TargetSpec(
            f"e{engine if apart else 0}",
            f"up{engine}",
            tuple(str(at) for at in range(6)),
            SPOKEN,
            0,
            rng.choice([1.0, 1.0, 1.0, 2.0]),
            rng.choice([0.0, 1e-6]),
            rng.choice([0.0, 1e-5]),
            frozenset({"0", "3"}) if once else frozenset(),
        )
        for engine in range(rng.randint(1, 2))
    )
    spec = ModelSpec(
        "m",
        targets,
        policy,
        slo_ttft_ms=rng.choice([None, 50.0, 5000.0]),
        other_zone_ms=200.0 if once else 0.0,
        slow_start_s=rng.choice([0.0, 30.0]),
    )
    table = ReplicaTable()
    table.gateways = {target.engine: rng.randint(1, 3) for target in targets}
    route = build_fleet([spec], table).models["m"]
    pool = endpoints(route)
    for prompt in rng.choices(range(4), k=rng.randint(0, 8)):
        size = rng.choice([512, 4096, 16384])
        route.sent(asks(bytes([65 + prompt]) * size), rng.choice(pool))
    for endpoint in pool:
        state = endpoint.state
        state.prefill_tokens = rng.choice([0, 0, 0, 500, 20_000])
        match rng.randint(0, 40):
            case 0:
                state.failed(0.0)
                state.failed(0.0)
            case 1:
                state.draining = True
            case 2:
                state.eject(0.0, 30.0, 300.0)
            case 3 if state.breaker.closed:
                trip(state.breaker, 0.0, random.Random(1))
            case 4:
                state.readmit(0.0)
            case 5:
                quota.told(state, 0.01, 20.0, 0.0)
            case 6:
                state.charge_plain(4000, 32, 0.0)
            case 7:
                state.tell(9, 7, 0.5, 0.0)
            case 8:
                state.set_remote(3000, 2000, 3)
            case 9:
                for at in range(40):
                    state.prefill.learn(1000 + 100 * at, 900.0 + 90.0 * at, 0.01 * at)
            case 10 | 11:
                state.healthy = False
            case 12:
                state.failed_until_s = float("inf")
    return route


POOLS = 250


@pytest.mark.parametrize("policy", ["prefix", "slo", "session", "cheapest", "latency"])
def test_who_is_not_looked_at_would_not_have_been_chosen(policy: str) -> None:
    """The choice is that of a look at every endpoint that may be asked, whatever else counts and whoever is away."""
    rng = random.Random(6)
    for _ in range(POOLS):
        route = any_pool(rng, policy)
        pool, picker = route.whole.pools[0], route.whole.pickers[0]
        assert isinstance(picker, LeastCost)
        facts = RequestFacts(OPERATION, 4096, 32, Known(bytes([65 + rng.randint(0, 3)]) * 16384))
        skip = rng.sample(pool, rng.choice([0, 0, 1, 2]))
        near_the_edge(picker, pool, facts, rng)
        able = usable(pool, 0.5, skip)
        costs = picker.opinion(facts, 0.5, random.Random(0)).costs
        totals = {endpoint: cost.total_ms for endpoint, cost in zip(pool, costs, strict=True)}
        for _ in range(4):  # each begins its look elsewhere
            chosen = picker.pick(facts, 0.5, rng, skip)
            assert (chosen is None) == (not able)
            if chosen is not None:
                assert chosen in able
                assert totals[chosen] == pytest.approx(min(totals[one] for one in able), abs=1e-6)


def near_the_edge(picker: LeastCost, pool: Sequence[Endpoint], facts: RequestFacts, rng: random.Random) -> None:
    """Bring one, which has cached something if any has, to within three tokens of what the best of the others costs:
    there a bound that is too high shows itself."""
    costs = picker.opinion(facts, 0.5, random.Random(0)).costs
    holders = [at for at, one in enumerate(pool) if facts.match is not None and facts.match.depth_of(one.state.slot)]
    edge = rng.choice(holders or range(len(pool)))
    gap_ms = min(cost.total_ms for at, cost in enumerate(costs) if at != edge) - costs[edge].total_ms
    state = pool[edge].state
    if abs(gap_ms) < 1e6:
        more = int(gap_ms / state.prefill.ms_per_token) + rng.randint(-3, 3)
        state.prefill_tokens = max(0, state.prefill_tokens + more)


def test_of_equals_each_is_chosen_alike_whoever_else_is_away() -> None:
    """Also where a first draw meets one that is away: its successor is not given its share."""
    route = route_of(6, policy="prefix")
    pool, picker = route.whole.pools[0], route.whole.pickers[0]
    pool[2].state.draining = True
    pool[2].state.prefill_tokens = pool[3].state.prefill_tokens = 500
    rng, chosen = random.Random(4), Counter[str]()
    for _ in range(5000):
        one = picker.pick(asks(b"short"), 0.5, rng, [pool[3]])
        assert one is not None
        chosen[one.replica] += 1
    assert set(chosen) == {"0", "1", "4", "5"}
    assert all(1150 < times < 1350 for times in chosen.values())  # of 1250: four of its deviations are 122
