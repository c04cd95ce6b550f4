package soma.decision_test

import data.soma.decision

rule(id, decide) := {"id": id, "says": concat(" ", ["Rule", id]), "decide": decide, "when": []}

may := rule("may", "allow")

ask := object.union(rule("ask", "needs_approval"), {"weight": 0.5})

never := rule("never", "deny")

question := {
	"policy": "sha256:test",
	"principal": {"id": "user:ada", "kind": "user", "tenant": "acme", "capabilities": ["tool.*"], "within": [["*"]]},
	"action": {"name": "tool.git.commit", "capability": "tool.git.write", "effect": "write", "resource": {"path": "src/a.ts", "size": 7, "host": "[fd00::1]"}},
	"context": {"labels": ["untrusted"], "owners": ["user:ada"], "approvals": [], "at": "2026-01-01T00:00:00Z"},
}

group(rules) := {"always": rules, "keyed": []}

policies(groups) := {"sha256:test": {"version": "sha256:test", "rules": groups}}

only_may := policies({"*": {"write": group([may])}})

decide(rules, changes) := result if {
	result := decision.decision with input as object.union(question, changes)
		with data.soma.policies as policies({"tool.*": {"write": group(rules)}})
}

holds(condition) if {
	decide([object.union(may, {"when": [condition]})], {}).verdict == "allow"
}

test_deny_wins_over_needs_approval_wins_over_allow if {
	decide([may, ask, never], {}) == {
		"verdict": "deny",
		"reasons": [{"rule": "never", "text": "Rule never"}],
		"score": 0,
		"obligations": [],
		"limits": [],
		"policy": "sha256:test",
	}
	decide([may, ask], {}).verdict == "needs_approval"
	decide([may, ask], {}).score == 0.5
	decide([may], {}).verdict == "allow"
	decide([may], {}).score == 1
}

test_no_decision_by_a_version_that_is_not_there if {
	not decision.decision with input as object.union(question, {"policy": "sha256:other"})
		with data.soma.policies as only_may
	not decision.decision with input as object.remove(question, ["policy"])
		with data.soma.policies as only_may
}

test_what_nothing_allows_is_denied if {
	decide([], {}).reasons[0].rule == "nothing-allows-it"
	decide([may], {"action": object.union(question.action, {"name": "toolbox.open"})}).verdict == "deny"
	decide([may], {"action": object.union(question.action, {"effect": "destructive"})}).verdict == "deny"
}

test_an_approval_answers_a_question_and_never_a_denial if {
	approved := {"context": object.union(question.context, {"approvals": ["a-1"]})}
	decide([ask], approved).verdict == "allow"
	decide([ask], approved).reasons == [{"rule": "ask", "text": "Rule ask Approved: a-1."}]
	decide([ask, never], approved).verdict == "deny"
	decide([], approved).verdict == "deny"
}

test_own_capabilities_and_every_limit_must_cover if {
	decide([may], {"principal": object.union(question.principal, {"capabilities": ["tool.files.*"]})}).reasons[0].rule == "capability-not-held"
	decide([may], {"principal": object.union(question.principal, {"within": [["*"], ["tool.git"]]})}).verdict == "deny"
	decide([may], {"principal": object.union(question.principal, {"within": []})}).verdict == "allow"
}

test_no_allow_by_omission if {
	every key in ["capabilities", "within"] {
		principal := object.remove(question.principal, [key])
		decision.decision.verdict == "deny" with input as object.union(object.remove(question, ["principal"]), {"principal": principal})
			with data.soma.policies as only_may
	}
	not decision.decision with input as object.remove(question, ["principal"])
		with data.soma.policies as only_may
}

test_covering_goes_from_the_widest_to_the_name if {
	decision.covering("a.b.c") == ["*", "a.*", "a.b.*", "a.b.c"]
	decision.covering("a") == ["*", "a"]
	decision.covering("a.*") == ["*", "a.*"]
}

test_conditions if {
	holds([false, "exists", ["action", "resource", "path"], null])
	holds([true, "exists", ["action", "resource", "gone"], null])
	holds([false, "equals", ["principal", "kind"], "user"])
	holds([false, "in", ["principal", "kind"], ["user", "agent"]])
	holds([false, "includes", ["context", "labels"], "untrusted"])
	holds([false, "matches_prefix", ["action", "resource", "path"], ["src/"]])
	holds([false, "matches_suffix", ["action", "resource", "path"], [".ts"]])
	holds([false, "greater_than", ["action", "resource", "size"], 6])
	holds([false, "less_than", ["action", "resource", "size"], 8])
	holds([false, "in_network", ["action", "resource", "host"], ["fc00::/7"]])
	not holds([false, "in_network", ["action", "resource", "path"], ["0.0.0.0/0"]])
	not holds([false, "equals", ["action", "resource", "gone"], "x"])
	not holds([false, "unheard_of", ["action", "resource", "path"], "x"])
}

test_conditions_on_another_fact if {
	holds([false, "equals_fact", ["action", "resource", "path"], ["action", "resource", "path"]])
	not holds([false, "equals_fact", ["action", "resource", "path"], ["action", "resource", "gone"]])
	not holds([false, "equals_fact", ["action", "resource", "gone"], ["action", "resource", "missing"]])
	holds([false, "in_fact", ["principal", "id"], ["context", "owners"]])
	holds([true, "in_fact", ["principal", "id"], ["context", "labels"]])
	holds([true, "in_fact", ["principal", "id"], ["context", "gone"]])
	holds([false, "includes_fact", ["context", "owners"], ["principal", "id"]])
	not holds([false, "includes_fact", ["context", "owners"], ["principal", "gone"]])
}

during(clock) if {
	condition := [false, "during", ["context", "at"], {"zone": "Z", "spans": [[[1, 2], 540, 1020]]}]
	decide([object.union(may, {"when": [condition]})], {"clocks": {"Z": clock}}).verdict == "allow"
}

test_hours_are_told_by_the_clock_of_their_zone if {
	during({"day": 1, "minute": 540})
	during({"day": 2, "minute": 1019})
	not during({"day": 2, "minute": 1020})
	not during({"day": 3, "minute": 600})
	decide([object.union(may, {"when": [[false, "during", ["context", "at"], {"zone": "Z", "spans": [[[1], 0, 1440]]}]]})], {}).verdict == "deny"
}

test_a_rule_with_a_limit_speaks_when_it_is_used_up if {
	limit := {"most": 2, "seconds": 60, "per": "tenant"}
	few := object.union(never, {"limit": limit})
	decide([may, few], {}).verdict == "allow"
	decide([may, few], {}).limits == [object.union(limit, {"rule": "never"})]
	exceeded := {"context": object.union(question.context, {"exceeded": ["never"]})}
	decide([may, few], exceeded).verdict == "deny"
	decide([may, few], exceeded).limits == []
}

decided(labels, path) := result if {
	result := decision.decision with input as object.union(question, {"context": object.union(question.context, {"labels": labels})})
		with data.soma.policies as policies({"*": {"write": {
			"always": [may],
			"keyed": [{"path": path, "rules": {"=a": [never]}}],
		}}})
}

test_keyed_rules_are_found_by_their_text if {
	decided(["b", "a", "a"], ["context", "labels"]).reasons == [{"rule": "never", "text": "Rule never"}]
	decided("a", ["context", "labels"]).verdict == "deny"
	decided(["b"], ["context", "labels"]).verdict == "allow"
	decided(["a"], ["context", "run"]).verdict == "allow"
}

test_what_the_tenants_own_rego_gives_counts_like_rules if {
	entry := {"rule": "own", "says": "Said by Rego."}
	decide([may], {"own": {"deny": [entry]}}).reasons == [{"rule": "rego:own", "text": "Said by Rego."}]
	decide([], {"own": {"allow": [entry]}}).verdict == "allow"
	decide([never], {"own": {"allow": [entry]}}).verdict == "deny"
	decide([may], {"own": {"needs_approval": [entry]}}).score == 0.5
	decide([may], {"own": {"needs_approval": [object.union(entry, {"weight": 1})]}}).score == 0
	decide([may], {"own": {"oblige": [object.union(entry, {"obligations": [{"kind": "dry_run"}]})]}}).obligations == [{"kind": "dry_run", "rule": "rego:own"}]
}

test_something_that_is_no_rule_denies if {
	entry := {"rule": "own", "says": "Said by Rego."}
	every wrong in [
		"deny it",
		{"rule": "own"},
		{"rule": 7, "says": "x"},
		object.union(entry, {"weight": 2}),
		object.union(entry, {"obligations": "dry_run"}),
		object.union(entry, {"obligations": [{"kind": 7}]}),
	] {
		every decide_as in ["allow", "deny", "needs_approval", "oblige"] {
			decide([may], {"own": {decide_as: [wrong]}}).reasons[0].rule == "own-rego-is-wrong"
		}
	}
}

test_the_explanation_names_what_holds_and_what_does_not if {
	rules := [
		may,
		object.union(never, {"when": [[true, "equals", ["action", "resource", "size"], 8], [false, "equals", ["principal", "kind"], "agent"]]}),
	]
	explanation := decision.explanation with input as question
		with data.soma.policies as policies({"tool.*": {"write": group(rules)}})
	explanation.decision.verdict == "allow"
	explanation.capability == {"needed": "tool.git.write", "held": true, "within": [true]}
	holding := {rule.rule: rule.holds | some rule in explanation.rules}
	holding == {"may": true, "never": false}
	[[condition.given, condition.holds] | some rule in explanation.rules; some condition in rule.conditions] == [[7, true], ["user", false]]
}

test_obligations_come_only_with_what_goes_ahead if {
	oblige := object.union(rule("log", "oblige"), {"obligations": [{"kind": "record"}]})
	decide([may, oblige], {}).obligations == [{"kind": "record", "rule": "log"}]
	decide([never, oblige], {}).obligations == []
	decide([oblige], {}).verdict == "deny"
}
