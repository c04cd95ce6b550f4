# One evaluator for every constitution. The rules are data, compiled by packages/ports/policy/compile.ts:
#
#   data.soma.policies[<version>].version                     digest of the rules; part of every decision
#   data.soma.policies[<version>].rules[<pattern>][<effect>]  the rules for actions that the pattern covers, e.g. "tool.git.*", write:
#     .always                                                 those that must be looked at for each such action
#     .keyed[].path, .keyed[].rules["=…"]                     those that can hold only when that fact is, or includes, what follows the "="
#   data.soma.own[<version>].given                            what the tenant's own Rego gives, where OPA evaluates it (else input.own)
#
# A condition is [negated, test, path of the fact, value], as a list because looking up a key costs more than comparing what is there.
#
# The question names the version, so several can be there at once: each tenant's, and the one that is being replaced. There is no
# decision by a version that is not there. Only the patterns that cover the action's own name are looked up, so the number of rules
# hardly matters; and data is always read by its full path, because OPA would copy all of a document that a rule gives a name.
# A question without principal, capability, name or effect gets a denial or no decision, never an allow.
package soma.decision

# METADATA
# entrypoint: true
decision := {
	"verdict": outcome.verdict,
	"reasons": outcome.reasons,
	"score": outcome.score,
	"obligations": outcome.obligations,
	"limits": outcome.limits,
	"policy": data.soma.policies[input.policy].version,
}

# Deny wins over needs_approval wins over allow; what nothing allows is denied. Each branch that lets an action go ahead
# says itself that the capability is held and nothing denies: a branch above it can be undefined for want of a text.
outcome := {
	"verdict": "deny",
	"reasons": array.concat(capability_missing, sentences(denials)),
	"score": 0,
	"obligations": [],
	"limits": [],
} if {
	count(capability_missing) + count(denials) > 0
} else := {
	"verdict": "needs_approval",
	"reasons": sentences(questions),
	"score": max([0, 1 - sum([rule.weight | some rule in questions])]),
	"obligations": obligations,
	"limits": [],
} if {
	may_go_ahead
	count(questions) > 0
	count(approvals) == 0
} else := {
	"verdict": "allow",
	"reasons": array.concat(answered, sentences(permissions)),
	"score": 1,
	"obligations": obligations,
	"limits": limits,
} if {
	may_go_ahead
	count(questions) + count(permissions) > 0
} else := {
	"verdict": "deny",
	"reasons": [{
		"rule": "nothing-allows-it",
		"text": concat("", ["No rule of the constitution allows ", input.action.name, " (", input.action.effect, ")."]),
	}],
	"score": 0,
	"obligations": [],
	"limits": [],
} if {
	capability_held
}

may_go_ahead if {
	capability_held
	count(denials) == 0
}

met := [rule | some rule in considered; applies(rule); not unmet(rule.when)]

# A rule with a limit says nothing until the limit is used up.
matched := array.concat([rule | some rule in met; speaks(rule)], own_rules)

limits := [object.union(rule.limit, {"rule": rule.id}) | some rule in met; not speaks(rule)]

speaks(rule) if not rule.limit

speaks(rule) if rule.id in input.context.exceeded

considered := array.concat(
	[rule |
		some pattern in covering(input.action.name)
		some rule in data.soma.policies[input.policy].rules[pattern][input.action.effect].always
	],
	[rule |
		some pattern in covering(input.action.name)
		some index in data.soma.policies[input.policy].rules[pattern][input.action.effect].keyed
		some text in texts(object.get(input, index.path, null))
		some rule in index.rules[text]
	],
)

# The sign before it keeps a text from being taken for anything else by whatever reads JSON.
texts(fact) := {concat("", ["=", fact])} if {
	is_string(fact)
} else := {concat("", ["=", text]) | is_array(fact); some text in fact; is_string(text)}

applies(rule) if not rule.capabilities

applies(rule) if covered(rule.capabilities)

denials := [rule | some rule in matched; rule.decide == "deny"]

questions := [rule | some rule in matched; rule.decide == "needs_approval"]

permissions := [rule | some rule in matched; rule.decide == "allow"]

obligations := [object.union(obligation, {"rule": rule.id}) | some rule in matched; some obligation in rule.obligations]

sentences(rules) := [{"rule": rule.id, "text": rule.says} | some rule in rules]

approvals := [id | some id in input.context.approvals; id != ""]

answered := [{"rule": rule.id, "text": concat("", [rule.says, " Approved: ", concat(", ", approvals), "."])} |
	some rule in questions
]

# The principal's own capabilities, and every limit it acts within, must cover what the action needs.
capability_held if {
	covered(input.principal.capabilities)
	is_array(input.principal.within)
	every limit in input.principal.within { covered(limit) }
}

capability_missing := [] if {
	capability_held
} else := [{
	"rule": "capability-not-held",
	"text": concat("", [input.principal.id, " does not hold the capability ", input.action.capability, " that ", input.action.name, " needs."]),
}]

needed := covering(input.action.capability)

covered(patterns) if {
	some pattern in patterns
	pattern in needed
}

# Every pattern that covers a dotted name, from the widest to the name itself: a.b gives *, a.*, a.b.
covering(name) := array.concat(array.concat(["*"], wider), exact) if {
	parts := split(name, ".")
	wider := [concat(".", array.concat(array.slice(parts, 0, n), ["*"])) | some n, _ in parts; n > 0]
	exact := [name | not endswith(name, "*")]
}

# What the tenant's own Rego gives: sets named after what they decide. Something in them that is no rule denies, for it may have been
# meant to.
own := input.own if {
	input.own
} else := data.soma.own[input.policy].given

given := [object.union({"weight": 0.5}, object.union(rule, {"decide": decide})) | some decide, rules in own; some rule in rules]

own_rules := [{
	"id": "own-rego-is-wrong",
	"says": "The tenant's own Rego gave something that is no rule, so the answer is no.",
	"decide": "deny",
}] if {
	some rules in own
	some rule in rules
	not is_rule(rule)
} else := [object.union(rule, {"id": concat("", ["rego:", rule.rule])}) | some rule in given]

is_rule(rule) if {
	is_string(rule.rule)
	is_string(rule.says)
	weight := object.get(rule, "weight", 0.5)
	is_number(weight)
	weight >= 0
	weight <= 1
	is_array(object.get(rule, "obligations", []))
	every obligation in object.get(rule, "obligations", []) { is_string(obligation.kind) }
}

unmet(conditions) if {
	some [negated, test, path, value] in conditions
	negated == passed(test, object.get(input, path, null), value)
}

passed(test, fact, value) if {
	passes(test, fact, value)
} else := false

passes(test, fact, value) if {
	test == "equals"
	fact == value
} else if {
	test == "includes"
	is_array(fact)
	value in fact
} else if {
	test == "exists"
	fact != null
} else if {
	test == "in"
	fact in value
} else if {
	test == "matches_prefix"
	some prefix in value
	startswith(fact, prefix)
} else if {
	test == "matches_suffix"
	some suffix in value
	endswith(fact, suffix)
} else if {
	test == "greater_than"
	is_number(fact)
	fact > value
} else if {
	test == "less_than"
	is_number(fact)
	fact < value
} else if {
	# An IPv6 host of a URL comes in brackets. A name is in no network.
	test == "in_network"
	address := trim(fact, "[]")
	some network in value
	net.cidr_contains(network, address)
} else if {
	test == "during"
	clock := input.clocks[value.zone]
	some [days, from, to] in value.spans
	clock.day in days
	clock.minute >= from
	clock.minute < to
} else if {
	# These compare with another fact, whose path stands for the value. Two facts that are missing are not alike.
	test == "equals_fact"
	fact != null
	fact == object.get(input, value, null)
} else if {
	test == "includes_fact"
	is_array(fact)
	other := object.get(input, value, null)
	other != null
	other in fact
} else if {
	test == "in_fact"
	list := object.get(input, value, null)
	is_array(list)
	fact in list
}

# For people: each rule that applies to such an action, and which of its conditions hold.
# METADATA
# entrypoint: true
explanation := {
	"decision": decision,
	"capability": {
		"needed": input.action.capability,
		"held": held(input.principal.capabilities),
		"within": [held(limit) | some limit in input.principal.within],
	},
	"rules": [explained(rule) | some rule in applying],
	"own": [{"rule": rule.id, "says": rule.says, "decides": rule.decide} | some rule in own_rules],
}

held(patterns) if {
	covered(patterns)
} else := false

applying := [rule |
	some pattern in covering(input.action.name)
	some rule in every_rule(data.soma.policies[input.policy].rules[pattern][input.action.effect])
]

# One that holds for several texts stands below each of them.
every_rule(group) := {rule | some rule in group.always} | {rule |
	some index in group.keyed
	some rules in index.rules
	some rule in rules
}

explained(rule) := {
	"rule": rule.id,
	"says": rule.says,
	"decides": rule.decide,
	"holds": holds(rule),
	"capabilities": object.get(rule, "capabilities", ["*"]),
	"conditions": [told(condition) | some condition in rule.when],
	"limit": object.get(rule, "limit", null),
}

holds(rule) if {
	applies(rule)
	not unmet(rule.when)
	speaks(rule)
} else := false

told([negated, test, path, value]) := {
	"fact": concat(".", path),
	"negated": negated,
	"test": test,
	"value": value,
	"given": given_for(test, path),
	"other": other_fact(test, value),
	"holds": passed(test, object.get(input, path, null), value) != negated,
}

given_for(test, path) := object.get(input, path, null) if {
	test != "during"
} else := input.clocks

other_fact(test, value) := object.get(input, value, null) if {
	endswith(test, "_fact")
} else := null
