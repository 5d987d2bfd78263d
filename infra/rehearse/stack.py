"""The parts of the rehearsal that need Python: SAM's transform, and an emulator of
AWS (ministack). Used by `go run ./infra/rehearse`.

    stack.py transform TEMPLATE REVISION   the template as CloudFormation gets it, on standard output
    stack.py serve PORT ACCOUNT REGION   the emulator, as long as standard input is open
    stack.py deploy                  a plan as JSON on standard input, what was deployed on standard output
    stack.py logs                    the same with log groups, their lines on standard output
"""

import hashlib
import io
import json
import logging
import os
import sys
import threading
import time
import zipfile

ARTEFACTS = "rehearsal-artefacts"

# Types that the emulator's CloudFormation does not have. What a stack may refer
# to of them is stood in for by the text that CloudFormation would give.
LEFT_OUT = {
    "AWS::Batch::": "the emulator has no such resources; the rehearsal's own engine takes the calls",
    "AWS::CodeDeploy::": "the emulator has no such resources; an alias goes to its new version at once",
    "AWS::CloudWatch::CompositeAlarm": "the emulator has no such resource",
}
ARN_OF = {
    "AWS::Batch::ComputeEnvironment": ("batch", "compute-environment/", "", "ComputeEnvironmentName"),
    "AWS::Batch::JobQueue": ("batch", "job-queue/", "", "JobQueueName"),
    "AWS::Batch::JobDefinition": ("batch", "job-definition/", ":1", "JobDefinitionName"),
    "AWS::Batch::SchedulingPolicy": ("batch", "scheduling-policy/", "", "Name"),
}


def transform(path, revision):
    from samtranslator.translator.transform import transform as sam
    from samtranslator.yaml_helper import yaml_parse

    # What SAM logs are things to do of its own.
    logging.disable(logging.WARNING)
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    with open(path, encoding="utf-8") as f:
        template = yaml_parse(f)
    parameters = {k: p["Default"] for k, p in template.get("Parameters", {}).items() if "Default" in p}
    parameters["Revision"] = revision
    for name, r in template["Resources"].items():
        if r["Type"] == "AWS::Serverless::Function":
            r["Properties"]["CodeUri"] = f"s3://{ARTEFACTS}/{name}.zip"

    class NoManagedPolicies:
        def load(self):
            return {}

    return sam(template, parameters, NoManagedPolicies())


def serve(port, account, region):
    import runpy
    import signal

    os.setpgid(0, 0)  # so that the functions can be ended together
    os.environ.update({
        "GATEWAY_PORT": port, "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": account, "MINISTACK_REGION": region,
        "AUTH": "true",  # policies are enforced
        "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "LOG_LEVEL": "WARNING",
    })

    def watch():
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    sys.argv = ["ministack"]
    try:
        runpy.run_module("ministack", run_name="__main__")
    finally:
        # It leaves the functions to themselves.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass


def left_out(resource):
    kind = resource["Type"]
    if kind == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
        return "the emulator has no alarms on expressions"
    return next((why for prefix, why in LEFT_OUT.items() if kind.startswith(prefix)), None)


def stand_in(name, resource):
    """What a reference to a resource that is left out stands for."""
    service, before, after, attribute = ARN_OF.get(resource["Type"], ("rehearsal", resource["Type"].replace("::", "-") + "/", "", "Name"))
    own = resource.get("Properties", {}).get(attribute, {"Fn::Sub": "${AWS::StackName}-" + name})
    prefix = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:%s" % (service, before)
    return {"Fn::Sub": [prefix + "${Own}" + after, {"Own": own}]}


def replace(value, gone):
    """Rewrites references to the resources that are left out."""
    if isinstance(value, list):
        return [replace(v, gone) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"} and value["Ref"] in gone:
        return gone[value["Ref"]]
    if set(value) == {"Fn::GetAtt"}:
        at = value["Fn::GetAtt"]
        name = at.split(".")[0] if isinstance(at, str) else at[0]
        if name in gone:
            return gone[name]
    if set(value) == {"Fn::Sub"}:
        sub = value["Fn::Sub"]
        text, names = (sub, {}) if isinstance(sub, str) else (sub[0], replace(sub[1], gone))
        for name, other in gone.items():
            for mention in [m for m in ("${%s}" % name,) if m in text]:
                text, names = text.replace(mention, "${Gone%s}" % name), {**names, "Gone" + name: other}
            while "${%s." % name in text:
                start = text.index("${%s." % name)
                end = text.index("}", start) + 1
                text, names = text[:start] + "${Gone%s}" % name + text[end:], {**names, "Gone" + name: other}
        return {"Fn::Sub": [text, names] if names else text}
    return {k: replace(v, gone) for k, v in value.items()}


def routes_of(api, resource):
    """An HTTP API's OpenAPI body as the integrations and routes that the emulator reads instead."""
    body, made = resource["Properties"].pop("Body"), {}
    cors = body.get("x-amazon-apigateway-cors")
    if cors:
        # As the body spells its members: the emulator's preflights read them so.
        resource["Properties"]["CorsConfiguration"] = cors
    resource["Properties"]["ProtocolType"] = "HTTP"
    n = 0
    for path, item in body["paths"].items():
        for method, operation in item.items():
            if not isinstance(operation, dict) or "x-amazon-apigateway-integration" not in operation:
                continue
            n += 1
            integration = operation["x-amazon-apigateway-integration"]
            default = path.strip("/") == "$default"
            made[f"{api}Integration{n}"] = {"Type": "AWS::ApiGatewayV2::Integration", "Properties": {
                "ApiId": {"Ref": api}, "IntegrationType": "AWS_PROXY", "IntegrationUri": integration["uri"],
                "PayloadFormatVersion": integration["payloadFormatVersion"],
            }}
            made[f"{api}Route{n}"] = {"Type": "AWS::ApiGatewayV2::Route", "Properties": {
                "ApiId": {"Ref": api}, "RouteKey": "$default" if default else f"{method.upper()} {path}",
                "Target": {"Fn::Sub": "integrations/${%sIntegration%d}" % (api, n)},
            }}
    return made


def emulable(template, endpoints, notes):
    """What of a transformed template the emulator can deploy."""
    resources = template["Resources"]
    gone = {}
    for name, r in list(resources.items()):
        if why := left_out(r):
            notes.setdefault((r["Type"], why), []).append(name)
            gone[name] = stand_in(name, resources.pop(name))
    template = replace(template, gone)
    for name, value in gone.items():
        template.setdefault("Outputs", {})["StandIn" + name] = {"Value": value}
    resources = template["Resources"]
    for name, r in list(resources.items()):
        depends = r.get("DependsOn", [])
        depends = [d for d in ([depends] if isinstance(depends, str) else depends) if d not in gone]
        r.pop("DependsOn", None)
        if depends:
            r["DependsOn"] = depends
        if "CodeDeployLambdaAliasUpdate" in r.get("UpdatePolicy", {}):
            r.pop("UpdatePolicy")
        if r["Type"] == "AWS::ApiGatewayV2::Api" and "Body" in r["Properties"]:
            made = routes_of(name, r)
            resources.update(made)
            notes[f"rewritten: the body of {name}, which the emulator does not read, as {len(made) // 2} integrations and routes"] = None
        if r["Type"] == "AWS::Lambda::Function" and name in endpoints:
            # Each function calls AWS by way of a recorder of its own.
            variables = r["Properties"]["Environment"]["Variables"]
            for v in [v for v in variables if v.startswith("AWS_ENDPOINT_URL_")] + ["AWS_ENDPOINT_URL_SESV2"]:
                variables[v] = endpoints[name]
    return template


def packed(path):
    """A zip of one program, as `sam package` makes it."""
    out = io.BytesIO()
    with open(path, "rb") as f, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as z:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
        z.writestr(entry, f.read())
    return out.getvalue()


def clients(plan):
    """Makes clients of the emulator's services, by their names."""
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session()
    session.set_credentials(plan["access_key"], plan["access_key"])
    return lambda service: session.create_client(service, region_name=plan["region"], endpoint_url=plan["endpoint"],
                                                 config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def logs(plan):
    """What the functions have written, by log group."""
    pages = clients(plan)("logs").get_paginator("filter_log_events")
    return {group: [e["message"] for page in pages.paginate(logGroupName=group) for e in page["events"]] for group in plan["groups"]}


def deploy(plan):
    client = clients(plan)
    s3, cloudformation, functions, iam = (client(s) for s in ("s3", "cloudformation", "lambda", "iam"))
    if plan["kind"] == "CREATE":
        s3.create_bucket(Bucket=ARTEFACTS, CreateBucketConfiguration={"LocationConstraint": plan["region"]})
        for name, path in plan["artefacts"].items():
            s3.put_object(Bucket=ARTEFACTS, Key=f"{name}.zip", Body=packed(path))

    notes = {}
    template = emulable(plan["template"], plan["endpoints"], notes)
    stack = plan["stack"]
    # As `sam deploy` does: a change set, and then its execution.
    text = json.dumps(template)
    s3.put_object(Bucket=ARTEFACTS, Key="template.json", Body=text.encode())
    change = "samcli-deploy-" + hashlib.sha256((text + json.dumps(plan["parameters"])).encode()).hexdigest()[:12]
    cloudformation.create_change_set(
        StackName=stack, ChangeSetName=change, ChangeSetType=plan["kind"], TemplateURL=f"{plan['endpoint']}/{ARTEFACTS}/template.json",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in plan["parameters"].items()],
    )

    def until(describe, done):
        for _ in range(600):
            found = describe()
            if done(found):
                return found
            time.sleep(0.2)
        raise SystemExit(f"the stack is not deployed after two minutes: {found}")

    set_ = until(lambda: cloudformation.describe_change_set(StackName=stack, ChangeSetName=change),
                 lambda c: c["Status"] in ("CREATE_COMPLETE", "FAILED"))
    failures = []
    if set_["Status"] == "FAILED":
        failures.append(f"the change set: {set_.get('StatusReason')}")
    else:
        cloudformation.execute_change_set(StackName=stack, ChangeSetName=change)
    described = until(lambda: cloudformation.describe_stacks(StackName=stack)["Stacks"][0],
                      lambda s: failures or s["StackStatus"].endswith((plan["kind"] + "_COMPLETE", "ROLLBACK_COMPLETE", "_FAILED")))
    for e in cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        if "FAILED" in e["ResourceStatus"]:
            failures.append(f"{e['LogicalResourceId']} ({e.get('ResourceType')}): {e.get('ResourceStatusReason')}")

    resources = {r["LogicalResourceId"]: {"type": r["ResourceType"], "id": r["PhysicalResourceId"]}
                 for r in cloudformation.describe_stack_resources(StackName=stack)["StackResources"] if r.get("PhysicalResourceId")}
    deployed = {}
    for name, r in resources.items():
        if r["type"] != "AWS::Lambda::Function" or failures:
            continue
        f = functions.get_function_configuration(FunctionName=r["id"])
        role = f["Role"].rsplit("/", 1)[-1]
        deployed[name] = {
            "name": r["id"], "arn": f["FunctionArn"], "environment": f.get("Environment", {}).get("Variables", {}),
            "policies": [{"name": p, "document": iam.get_role_policy(RoleName=role, PolicyName=p)["PolicyDocument"]}
                         for p in iam.list_role_policies(RoleName=role)["PolicyNames"]],
            "managed": [p["PolicyArn"] for p in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]],
            "aliases": [a["Name"] for a in functions.list_aliases(FunctionName=r["id"]).get("Aliases", [])],
        }
    pipe_role = resources.get("EventsPipeRole", {}).get("id", "") if not failures else ""
    secrets = client("secretsmanager")
    return {
        "status": described["StackStatus"], "failures": failures, "notes": [k if v is None else f"left out: {k[0]} ({', '.join(v)}): {k[1]}" for k, v in notes.items()], "resources": resources,
        "outputs": {o["OutputKey"]: o["OutputValue"] for o in described.get("Outputs", [])}, "functions": deployed,
        "pipePolicies": [{"name": p, "document": iam.get_role_policy(RoleName=pipe_role, PolicyName=p)["PolicyDocument"]}
                         for p in iam.list_role_policies(RoleName=pipe_role)["PolicyNames"]] if pipe_role else [],
        "secrets": {n: secrets.get_secret_value(SecretId=r["id"])["SecretString"]
                    for n, r in resources.items() if r["type"] == "AWS::SecretsManager::Secret"},
    }


def main(command, *args):
    if command == "serve":
        serve(*args)
        return
    try:
        out = transform(*args) if command == "transform" else {"deploy": deploy, "logs": logs}[command](json.load(sys.stdin))
    except Exception as e:
        # One line: an error may repeat the whole template.
        raise SystemExit(f"{type(e).__name__}: {str(e)[:1000]}") from e
    json.dump(out, sys.stdout)


main(*sys.argv[1:])
