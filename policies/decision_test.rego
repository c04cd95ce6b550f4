package soma.decision_test

import data.soma.decision

rule(id, decide) := {"id": id, "says": concat(" ", ["Rule", id]), "decide": decide, "capabilities": ["*"], "when": []}

may := rule("may", "allow")

ask := object.union(rule("ask", "needs_approval"), {"weight": 0.5})

never := rule("never", "deny")

question := {
	"policy": "sha256:test",
	"principal": {"id": "user:ada", "kind": "user", "tenant": "acme", "capabilities": ["tool.*"], "within": [["*"]]},
	"action": {"name": "tool.git.commit", "capability": "tool.git.write", "effect": "write", "resource": {"path": "src/a.ts", "size": 7, "host": "[fd00::1]"}},
	"context": {"labels": ["untrusted"], "approvals": [], "at": "2026-01-01T00:00:00Z"},
}

only_may := {"sha256:test": {"version": "sha256:test", "rules": {"*": {"write": [may]}}}}

decide(rules, changes) := result if {
	result := decision.decision with input as object.union(question, changes)
		with data.soma.policies as {"sha256:test": {"version": "sha256:test", "rules": {"tool.*": {"write": rules}}}}
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
	holds({"path": ["action", "resource", "path"], "test": "exists", "negated": false})
	holds({"path": ["action", "resource", "gone"], "test": "exists", "negated": true})
	holds({"path": ["principal", "kind"], "test": "equals", "negated": false, "value": "user"})
	holds({"path": ["principal", "kind"], "test": "in", "negated": false, "value": ["user", "agent"]})
	holds({"path": ["context", "labels"], "test": "includes", "negated": false, "value": "untrusted"})
	holds({"path": ["action", "resource", "path"], "test": "matches_prefix", "negated": false, "value": ["src/"]})
	holds({"path": ["action", "resource", "path"], "test": "matches_suffix", "negated": false, "value": [".ts"]})
	holds({"path": ["action", "resource", "size"], "test": "greater_than", "negated": false, "value": 6})
	holds({"path": ["action", "resource", "size"], "test": "less_than", "negated": false, "value": 8})
	holds({"path": ["action", "resource", "host"], "test": "in_network", "negated": false, "value": ["fc00::/7"]})
	not holds({"path": ["action", "resource", "path"], "test": "in_network", "negated": false, "value": ["0.0.0.0/0"]})
	not holds({"path": ["action", "resource", "gone"], "test": "equals", "negated": false, "value": "x"})
	not holds({"path": ["action", "resource", "path"], "test": "unheard_of", "negated": false, "value": "x"})
}

test_obligations_come_only_with_what_goes_ahead if {
	oblige := object.union(rule("log", "oblige"), {"obligations": [{"kind": "record"}]})
	decide([may, oblige], {}).obligations == [{"kind": "record"}]
	decide([never, oblige], {}).obligations == []
	decide([oblige], {}).verdict == "deny"
}
