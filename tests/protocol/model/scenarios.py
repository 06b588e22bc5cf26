"""What the model is asked: small services, what users write, and what fails meanwhile; and the rules, each of which is
needed."""

A, REPLACE, REVERSE, FORCE = ("insmod", "A"), ("insmod", "B", "replace"), ("reverse",), ("force",)
DISABLE, RMMOD = ("disable", "A"), ("rmmod", "A")

# name -> arguments of state.first_world
SCENARIOS = {
    "insmod, a refusal, the coordinator dies": dict(processes=2, requests=[A], crash=1, refuse=1),
    "insmod, a process dies, the coordinator dies": dict(processes=2, requests=[A], crash=1, kill=1),
    "insmod, a stall, the coordinator dies": dict(processes=2, requests=[A], crash=1, stall=1),
    "insmod, a stall, a refusal, given up": dict(processes=2, requests=[A], stall=1, refuse=1, giveup=1),
    "insmod, a connection lost, the coordinator dies": dict(processes=2, requests=[A], crash=1, cut=1),
    "insmod fails, insmod of another, a stall": dict(processes=2, requests=[A, REPLACE], refuse=1, stall=1),
    "insmod, the coordinator dies, insmod of another": dict(processes=2, requests=[A, REPLACE], crash=1),
    "insmod, reverse, two coordinators": dict(processes=2, requests=[A, REVERSE], compete=True),
    "insmod, reverse, reverse": dict(processes=2, requests=[A, REVERSE, REVERSE]),
    "insmod, reverse, a stall": dict(processes=2, requests=[A, REVERSE], stall=1),
    "insmod, force, a stall": dict(processes=2, requests=[A, FORCE], stall=1),
    "insmod, a fork": dict(processes=1, requests=[A], fork=1, refuse=1),
    "insmod, a fork, two processes": dict(processes=2, requests=[A], fork=1),
    "insmod, a fork, the coordinator dies": dict(processes=1, requests=[A], fork=1, crash=1),
    "insmod, reverse, a fork, a death": dict(processes=1, requests=[A, REVERSE], fork=1, kill=1),
    "insmod, reverse, a joiner, a refusal": dict(processes=1, requests=[A, REVERSE], join=1, refuse=1),
    "insmod, a joiner, the coordinator dies": dict(processes=1, requests=[A], join=1, crash=1),
    "replace, reverse, a joiner": dict(processes=1, requests=[REPLACE, REVERSE], patches="A", join=1),
    "replace, reverse, the coordinator dies": dict(processes=2, requests=[REPLACE, REVERSE], patches="A", crash=1),
    "disable the lower of two, a joiner": dict(processes=1, requests=[DISABLE, REVERSE], patches="AB", join=1),
    "disable, rmmod, a fork, the coordinator dies": dict(
        processes=1, requests=[DISABLE, RMMOD], patches="A", fork=1, crash=1
    ),
    "disable, reverse, a death, the coordinator dies": dict(
        processes=2, requests=[DISABLE, REVERSE], patches="A", kill=1, crash=1
    ),
    "disable, rmmod, insmod again, a joiner, a refusal": dict(
        processes=1, requests=[DISABLE, RMMOD, A], patches="A", join=1, refuse=1
    ),
    "insmod, reverse, a stall, the coordinator dies": dict(processes=2, requests=[A, REVERSE], stall=1, crash=1),
    "insmod, force, a fork, a stall": dict(processes=1, requests=[A, FORCE], fork=1, stall=1),
    "replace, force, two coordinators": dict(processes=2, requests=[REPLACE, FORCE], patches="A", compete=True),
    "disable, reverse, a joiner, two coordinators": dict(
        processes=1, requests=[DISABLE, REVERSE], patches="AB", join=1, compete=True
    ),
    "three processes, insmod, a death, the coordinator dies": dict(processes=3, requests=[A], kill=1, crash=1),
    "disable, rmmod, insmod again, a stall": dict(processes=2, requests=[DISABLE, RMMOD, A], patches="A", stall=1),
}

# rule -> what happens without it
RULES = {
    "noburn": "the journal hears of an operation only when all have prepared",
    "startlate": "start is sent before the journal says so",
    "finlate": "finish is sent before the journal says so",
    "perproc": "each process completes when it is clean itself",
    "noturn": "a report of clean does not say of which turn",
    "listonce": "the list of processes is not read again before a decision",
    "bindafter": "the child binds its socket itself, after the fork",
    "joinlate": "a joiner reads the journal before it binds its socket",
    "joinfinish": "a joiner in mid-transition takes the outcome at once",
    "joinorder": "a joiner puts the patch in transition on top",
    "forkhalf": "a child keeps what its parent had prepared",
    "childseen": "a child believes that it has done what its parent had",
    "listold": "the list is not made anew after a write, only before a decision",
    "leftname": "who is left out is remembered by name, also when the patch is loaded again",
    "nocas": "a coordinator writes what it decided without reading the journal again",
    "selfabort": "an agent without a coordinator gives up without reading the journal",
    "earlydone": "the end does not wait for a silent process",
    "recoverstart": "a successor takes back what was started",
    "errearly": "the failure is reported before all have taken back",
    "mirror": "enabled is read from the agents, not from the journal",
}
