# One evaluator for every constitution. The rules are data, compiled by packages/ports/policy/compile.ts:
#
#   data.soma.policies[<version>].version                   digest of the rules; part of every decision
#   data.soma.policies[<version>].rules[<pattern>][<effect>]  the rules for actions that the pattern covers, e.g. "tool.git.*", write
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
	"policy": data.soma.policies[input.policy].version,
}

# Deny wins over needs_approval wins over allow; what nothing allows is denied. Each branch that lets an action go ahead
# says itself that the capability is held and nothing denies: a branch above it can be undefined for want of a text.
outcome := {
	"verdict": "deny",
	"reasons": array.concat(capability_missing, sentences(denials)),
	"score": 0,
	"obligations": [],
} if {
	count(capability_missing) + count(denials) > 0
} else := {
	"verdict": "needs_approval",
	"reasons": sentences(questions),
	"score": max([0, 1 - sum([rule.weight | some rule in questions])]),
	"obligations": obligations,
} if {
	may_go_ahead
	count(questions) > 0
	count(approvals) == 0
} else := {
	"verdict": "allow",
	"reasons": array.concat(answered, sentences(permissions)),
	"score": 1,
	"obligations": obligations,
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
} if {
	capability_held
}

may_go_ahead if {
	capability_held
	count(denials) == 0
}

matched := [rule |
	some pattern in covering(input.action.name)
	some rule in data.soma.policies[input.policy].rules[pattern][input.action.effect]
	covered(rule.capabilities)
	every condition in rule.when { holds(condition) }
]

denials := [rule | some rule in matched; rule.decide == "deny"]

questions := [rule | some rule in matched; rule.decide == "needs_approval"]

permissions := [rule | some rule in matched; rule.decide == "allow"]

obligations := [obligation | some rule in matched; some obligation in rule.obligations]

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

holds(condition) if {
	not condition.negated
	passes(condition, object.get(input, condition.path, null))
}

holds(condition) if {
	condition.negated
	not passes(condition, object.get(input, condition.path, null))
}

passes(condition, fact) if {
	condition.test == "exists"
	fact != null
}

passes(condition, fact) if {
	condition.test == "equals"
	fact == condition.value
}

passes(condition, fact) if {
	condition.test == "in"
	fact in condition.value
}

passes(condition, fact) if {
	condition.test == "includes"
	is_array(fact)
	condition.value in fact
}

passes(condition, fact) if {
	condition.test == "matches_prefix"
	some prefix in condition.value
	startswith(fact, prefix)
}

passes(condition, fact) if {
	condition.test == "matches_suffix"
	some suffix in condition.value
	endswith(fact, suffix)
}

passes(condition, fact) if {
	condition.test == "greater_than"
	is_number(fact)
	fact > condition.value
}

passes(condition, fact) if {
	condition.test == "less_than"
	is_number(fact)
	fact < condition.value
}

# An IPv6 host of a URL comes in brackets. A name is in no network.
passes(condition, fact) if {
	condition.test == "in_network"
	address := trim(fact, "[]")
	some network in condition.value
	net.cidr_contains(network, address)
}
