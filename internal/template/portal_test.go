package template

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestPagesOfThePortalAreIndexHTML(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node, which runs CloudFront's functions here, is not installed")
	}
	p := at(resource(t, rawTemplate(t), "PortalPages"), "Properties")
	if got := at(p, "FunctionConfig", "Runtime"); got != "cloudfront-js-2.0" {
		t.Errorf("the runtime is %v, want cloudfront-js-2.0", got)
	}
	want := map[string]string{
		"/":                              "/index.html",
		"":                               "/index.html",
		"/index.html":                    "/index.html",
		"/projects":                      "/index.html",
		"/projects/":                     "/index.html",
		"/projects/my-site_2":            "/index.html",
		"/projects/v1.2/log":             "/index.html",
		"/assets/index-3f2a.js":          "/assets/index-3f2a.js",
		"/assets/missing.css":            "/assets/missing.css",
		"/favicon.ico":                   "/favicon.ico",
		"/.well-known/security.txt":      "/.well-known/security.txt",
		"/api":                           "/api",
		"/api/":                          "/api/",
		"/api/tenant/projects":           "/api/tenant/projects",
		"/api/tenant/projects/a/status":  "/api/tenant/projects/a/status",
		"/apis":                          "/index.html",
		"/%2e%2e/secret":                 "/index.html",
		"/projects/caf%C3%A9?is=no-path": "/index.html",
	}
	uris := make([]string, 0, len(want))
	for uri := range want {
		uris = append(uris, uri)
	}
	input, err := json.Marshal(uris)
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprint(at(p, "FunctionCode")) + `
const uris = JSON.parse(process.argv[1]);
console.log(JSON.stringify(uris.map((uri) => {
	const request = { method: 'GET', uri, querystring: {}, headers: {}, cookies: {} };
	const result = handler({ version: '1.0', context: {}, viewer: {}, request });
	return { uri: result.uri, members: Object.keys(result) };
})));`
	out, err := exec.Command(node, "-e", script, string(input)).Output()
	if err != nil {
		t.Fatalf("running the function: %v", err)
	}
	var got []struct {
		URI     string
		Members []string
	}
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(uris) {
		t.Fatalf("the function answered %s: %v", out, err)
	}
	for i, uri := range uris {
		if got[i].URI != want[uri] {
			t.Errorf("%q is %q, want %q", uri, got[i].URI, want[uri])
		}
		// A request goes on to the origin; a response would end here.
		if !slices.Contains(got[i].Members, "method") || slices.Contains(got[i].Members, "statusCode") {
			t.Errorf("%q gives a response with %v, want the request", uri, got[i].Members)
		}
	}
}

func TestPortalAndAPIAreOneOrigin(t *testing.T) {
	root := rawTemplate(t)
	d := at(resource(t, root, "PortalDistribution"), "Properties", "DistributionConfig")
	if at(d, "CustomErrorResponses") != nil {
		t.Error("custom error responses swallow the API's")
	}
	behaviours, _ := at(d, "CacheBehaviors").([]any)
	if len(behaviours) != 1 || at(behaviours[0], "PathPattern") != "/api/*" {
		t.Fatalf("the other paths are %v, want /api/* alone", behaviours)
	}
	// AWS's own policies, by the ids that every account has.
	const optimised, disabled, exceptHost = "658327ea-f89d-4fab-a63d-7e88639e58f6", "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "b689b0a8-53d0-40ab-baf2-68738e2966ac"
	for _, c := range []struct {
		behaviour                             any
		origin, protocol, cache, request, fun any
		methods                               int
	}{
		{at(d, "DefaultCacheBehavior"), "portal", "redirect-to-https", optimised, nil, "PortalPages.FunctionARN", 2},
		{behaviours[0], "api", "https-only", disabled, exceptHost, nil, 7},
	} {
		b := c.behaviour
		for name, want := range map[string]any{
			"TargetOriginId": c.origin, "ViewerProtocolPolicy": c.protocol, "CachePolicyId": c.cache, "OriginRequestPolicyId": c.request,
			"ResponseHeadersPolicyId": "PortalHeaders", "Compress": true,
		} {
			if got := at(b, name); got != want {
				t.Errorf("%v: %s is %v, want %v", c.origin, name, got, want)
			}
		}
		if got := texts(at(b, "AllowedMethods")); len(got) != c.methods {
			t.Errorf("%v allows %v, want %d methods", c.origin, got, c.methods)
		}
		var fun any
		if list, _ := at(b, "FunctionAssociations").([]any); len(list) == 1 && at(list[0], "EventType") == "viewer-request" {
			fun = at(list[0], "FunctionARN")
		}
		if fun != c.fun {
			t.Errorf("%v runs %v at a viewer's request, want %v", c.origin, fun, c.fun)
		}
	}
	origins, _ := at(d, "Origins").([]any)
	for _, o := range origins {
		switch at(o, "Id") {
		case "portal":
			if at(o, "OriginAccessControlId") != "PortalAccess.Id" || at(o, "DomainName") != "PortalBucket.RegionalDomainName" {
				t.Errorf("the portal's origin is %v", o)
			}
		case "api":
			if got := "https://" + fmt.Sprint(at(o, "DomainName")); got != at(root, "Outputs", "ApiUrl", "Value") {
				t.Errorf("the API's origin is %s, want %v", got, at(root, "Outputs", "ApiUrl", "Value"))
			}
			// It must not give up before API Gateway does.
			if at(o, "CustomOriginConfig", "OriginProtocolPolicy") != "https-only" || at(o, "CustomOriginConfig", "OriginReadTimeout") != 30 {
				t.Errorf("the API's origin is %v, want https-only and 30 seconds", o)
			}
		}
	}
	// All of it is there together, or none.
	for id, r := range at(root, "Resources").(mapping) {
		portal := strings.HasPrefix(id, "Portal")
		if got := at(r, "Condition"); portal && got != "HasPortal" || !portal && got == "HasPortal" {
			t.Errorf("%s has the condition %v", id, got)
		}
	}
	if at(root, "Parameters", "PortalEnabled", "Default") != "false" {
		t.Error("the portal is on by default")
	}
}

func TestPortalsHeaders(t *testing.T) {
	headers := at(resource(t, rawTemplate(t), "PortalHeaders"), "Properties", "ResponseHeadersPolicyConfig", "SecurityHeadersConfig")
	const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	if got := at(headers, "ContentSecurityPolicy", "ContentSecurityPolicy"); got != policy {
		t.Errorf("the content security policy is\n%v, want\n%s", got, policy)
	}
	for _, name := range []string{"StrictTransportSecurity", "ContentTypeOptions", "FrameOptions", "ReferrerPolicy", "ContentSecurityPolicy"} {
		if at(headers, name, "Override") != true {
			t.Errorf("%s is %v, want it set whatever the origin says", name, at(headers, name))
		}
	}
}

func TestOnlyTheDistributionReadsThePortalsBucket(t *testing.T) {
	list, _ := at(resource(t, rawTemplate(t), "PortalBucketPolicy"), "Properties", "PolicyDocument", "Statement").([]any)
	var allowed int
	for _, s := range list {
		if at(s, "Effect") != "Allow" {
			continue
		}
		allowed++
		distribution := "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${PortalDistribution}"
		if at(s, "Principal", "Service") != "cloudfront.amazonaws.com" || at(s, "Condition", "StringEquals", "aws:SourceArn") != distribution {
			t.Errorf("%v is allowed to %v where %v", at(s, "Action"), at(s, "Principal"), at(s, "Condition"))
		}
		if a := at(s, "Action"); a != "s3:GetObject" && a != "s3:ListBucket" {
			t.Errorf("the distribution may %v", a)
		}
	}
	if allowed != 2 {
		t.Errorf("the policy allows %d things, want 2", allowed)
	}
}
