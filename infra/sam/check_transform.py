"""Checks what SAM makes of template.yaml, which CloudFormation deploys.

    .venv/lint/bin/python infra/sam/check_transform.py [FILE]

`make lint` runs it. It transforms the template as the service does, says what
is wrong, and writes the result to FILE, for cfn-lint.
"""

import graphlib
import json
import logging
import os
import re
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")  # the translator asks boto3 for a partition

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

logging.getLogger("samtranslator").setLevel(logging.ERROR)


class NoManagedPolicies:
    def load(self):
        return {}


def deployed(**parameters):
    """The template after the transform, as if its code had been uploaded."""
    with open("template.yaml") as file:
        template = yaml_parse(file)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://artifacts/" + resource["Properties"]["CodeUri"]
    return transform(template, parameters, NoManagedPolicies())


def references(value):
    """The names that a value refers to: of resources, parameters, pseudo parameters."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for name, argument in value.items():
            if name == "Ref":
                yield argument
            elif name == "Fn::GetAtt":
                yield argument[0] if isinstance(argument, list) else argument.split(".")[0]
            elif name == "Fn::Sub":
                text, own = argument if isinstance(argument, list) else (argument, {})
                yield from (v.split(".")[0] for v in re.findall(r"\$\{([^!}]+)\}", text) if v not in own)
                yield from references(own)
            else:
                yield from references(argument)


def of_type(template, kind):
    return {name: r for name, r in template["Resources"].items() if r["Type"] == kind}


def problems():
    one, same, other = (deployed(Revision=r) for r in ("a" * 20, "a" * 20, "b" * 20))
    resources = one["Resources"]

    # Nothing refers to what is not there, or in a circle.
    known = resources.keys() | one["Parameters"].keys()
    needs = {}
    for name, r in resources.items():
        after = r.get("DependsOn", [])
        found = {*references([r.get("Properties"), r.get("UpdatePolicy")]), *([after] if isinstance(after, str) else after)}
        needs[name] = found & resources.keys()
        for missing in sorted(n for n in found - known if not n.startswith("AWS::")):
            yield f"{name} refers to {missing}, which is not there"
    for name in sorted(set(references(one["Outputs"])) - known):
        if not name.startswith("AWS::"):
            yield f"an output refers to {name}, which is not there"
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as circle:
        yield "these refer to each other in a circle: " + ", ".join(circle.args[1])

    # Everybody calls the alias, never the function behind it.
    functions = of_type(one, "AWS::Lambda::Function")
    for name, r in of_type(one, "AWS::Lambda::Permission").items():
        if not r["Properties"]["FunctionName"].get("Ref", "").endswith("Aliaslive"):
            yield f"{name} lets others call {r['Properties']['FunctionName']}, not the alias"
    topics = of_type(one, "AWS::SNS::Topic")
    for name, r in of_type(one, "AWS::Events::Rule").items():
        for target in r["Properties"]["Targets"]:
            called = target["Arn"].get("Ref", "")
            if not called.endswith("Aliaslive") and called not in topics:
                yield f"{name} calls {target['Arn']}, neither an alias nor a topic"
            if "DeadLetterConfig" not in target:
                yield f"{name} has no queue for what it can't deliver"
    for name, r in of_type(one, "AWS::Lambda::EventInvokeConfig").items():
        if r["Properties"].get("Qualifier") != "live":
            yield f"{name} is not for the alias"
        queue = r["Properties"]["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        role = resources[r["Properties"]["FunctionName"]["Ref"] + "Role"]["Properties"]["Policies"]
        sends = [s for p in role for s in p["PolicyDocument"]["Statement"] if s["Action"] == "sqs:SendMessage"]
        if [s["Resource"]["Fn::GetAtt"][0] for s in sends] != [queue]:
            yield f"{name} sends failures to {queue}, and its role may send to {sends}"
    for path, methods in resources["Api"]["Properties"]["Body"]["paths"].items():
        for method, route in methods.items():
            if method != "options" and "Aliaslive}" not in route["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]:
                yield f"{method} {path} does not call an alias"

    # A new revision is a new version of every function; the same one is none.
    for name in functions:
        alias = resources.get(f"{name}Aliaslive")
        if alias is None:
            yield f"{name} has no alias"
            continue
        if "CodeDeployLambdaAliasUpdate" not in alias.get("UpdatePolicy", {}):
            yield f"{name}'s alias moves all at once"
        published = [t["Resources"][f"{name}Aliaslive"]["Properties"]["FunctionVersion"]["Fn::GetAtt"][0] for t in (one, same, other)]
        if published[0] != published[1] or published[0] == published[2]:
            yield f"{name} has the versions {published} of the revisions a, a, b"
        # Lambda refuses to publish what has not changed since the last version.
        if functions[name] == other["Resources"][name]:
            yield f"{name} is the same in another revision, so it can't be published"
    if not functions:
        yield "there are no functions"

    # One parameter turns tracing on, for every function, and only then gives the
    # permission. SAM would add it for any condition in the parameter's place.
    traced = deployed(Revision="a" * 20, Tracing="Active")["Resources"]
    for name in functions:
        for what, all_, on in (("off", resources, False), ("on", traced, True)):
            mode = all_[name]["Properties"].get("TracingConfig")
            if mode != ({"Mode": {"Ref": "Tracing"}} if on else None) and mode != ({"Mode": "Active"} if on else None):
                yield f"{name} has the TracingConfig {mode} where tracing is {what}"
            may = any("xray" in json.dumps(p).lower() for p in all_[f"{name}Role"]["Properties"]["ManagedPolicyArns"])
            if may != on:
                yield f"{name} may{'' if may else ' not'} send traces where tracing is {what}"

    # CloudFormation's quotas.
    if len(resources) > 500:
        yield f"there are {len(resources)} resources, more than 500"
    if len(json.dumps(one)) > 1_000_000:
        yield "the template is larger than 1 MB"


if __name__ == "__main__":
    found = list(problems())
    for problem in found:
        print(f"template.yaml, as SAM transforms it: {problem}", file=sys.stderr)
    if len(sys.argv) > 1:
        result = deployed(Revision="a" * 20)
        # The transform writes some parameters' values in their place; the linter
        # would take those for forgotten.
        used = set(references([result["Resources"], result["Conditions"], result["Rules"], result["Outputs"]]))
        result["Parameters"] = {name: p for name, p in result["Parameters"].items() if name in used}
        os.makedirs(os.path.dirname(sys.argv[1]) or ".", exist_ok=True)
        with open(sys.argv[1], "w") as file:
            json.dump(result, file, indent=1)
    sys.exit(1 if found else 0)
