package template

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/awslabs/goformation/v7/intrinsics"
)

// What goformation would do, and this package does instead:
//
//   - Ref knows parameters' defaults alone, answers nil for any other name, and
//     lacks AWS::Partition and AWS::URLSuffix. Here it gives a table its name, a
//     bucket its own, any other resource its logical id.
//   - Sub strips what it can't resolve, so that s3://${Bucket} becomes s3://. It
//     takes ${!Literal} for a variable.
//   - GetAtt, ImportValue and Cidr answer nil, which would look like
//     AWS::NoValue. Here GetAtt gives LogicalID.Attribute, as text.
//   - If answers nil unless EvaluateConditions is set; and with that, a resource
//     that has a Condition is replaced by true or false, and two conditions that
//     name each other end the process. Its YAML reader does not know !Condition,
//     which arrives as the bare name.
//   - Split answers a list that Select can't take from. Join drops what is not a
//     text, numbers among it. Select and FindInMap answer nil for what they
//     don't find.
//   - CommaDelimitedList parameters stay one text.
//
// A function that can't be evaluated is a problem only if somebody reads its
// value. So it yields a mark, which survives Sub and Join, and element.text
// reports it with the element's path.

// mark stands on both sides of the reason why a value is not there. YAML text
// has no NUL.
const mark = "\x00"

func broken(format string, args ...any) string {
	return mark + fmt.Sprintf(format, args...) + mark
}

var pseudoParameters = map[string]any{
	"AWS::AccountId":        "000000000000",
	"AWS::NotificationARNs": []any{},
	"AWS::NoValue":          nil,
	"AWS::Partition":        "aws",
	"AWS::Region":           "us-east-1",
	"AWS::StackId":          "arn:aws:cloudformation:us-east-1:000000000000:stack/rekindle-local/0",
	"AWS::StackName":        "rekindle-local",
	"AWS::URLSuffix":        "amazonaws.com",
}

// resolver evaluates intrinsic functions.
type resolver struct {
	root       element
	names      map[string]any  // what Ref gives
	conditions map[string]bool // those evaluated
	entered    map[string]bool // those being evaluated
}

// resolve returns the template with its intrinsic functions evaluated and
// without the resources whose condition does not hold.
func (d *document) resolve(root element, params map[string]string) element {
	if root.absent() || root.get("Resources").absent() {
		root.get("Resources").fail("it is missing")
		return root
	}
	r := &resolver{root: root, names: map[string]any{}, conditions: map[string]bool{}, entered: map[string]bool{}}
	for name, value := range pseudoParameters {
		r.names[name] = value
	}
	r.parameters(root.get("Parameters"), params)

	kept := map[string]any{}
	for _, resource := range root.get("Resources").each() {
		m := resource.mapping()
		if condition, has := m["Condition"]; has {
			if !r.holds(element{d, resource.path + ".Condition", condition}) {
				// Whoever refers to it nonetheless refers to nothing, as in
				// CloudFormation.
				continue
			}
		}
		kept[resource.name()] = m
		r.names[resource.name()] = resource.name()
	}
	for id := range kept {
		resource := root.get("Resources").get(id)
		switch resource.get("Type").value {
		case "AWS::DynamoDB::Table":
			if name := resource.get("Properties").get("TableName"); !name.absent() {
				r.names[id] = r.evaluate(name)
			}
		case "AWS::S3::Bucket":
			r.names[id] = strings.ToLower(id)
			if name := resource.get("Properties").get("BucketName"); !name.absent() {
				r.names[id] = r.evaluate(name)
			}
		}
	}
	return element{d, "", map[string]any{
		"Globals":   r.evaluate(root.get("Globals")),
		"Resources": r.evaluate(element{d, "Resources", kept}),
	}}
}

func (r *resolver) parameters(declared element, params map[string]string) {
	for name := range params {
		if p := declared.get(name); p.absent() {
			p.fail("there is no such parameter to override")
		}
	}
	for _, p := range declared.each() {
		value := p.get("Default").value
		if override, has := params[p.name()]; has {
			value = override
		}
		kind := p.get("Type").required()
		switch v := value.(type) {
		case nil:
			value = broken("parameter %s has no default and was not given a value", p.name())
		case string:
			if kind == "CommaDelimitedList" || strings.HasPrefix(kind, "List<") {
				var items []any
				for item := range strings.SplitSeq(v, ",") {
					items = append(items, strings.TrimSpace(item))
				}
				value = items
			}
		case bool, float64:
			// CloudFormation passes on every parameter as text.
			value = scalar(v)
		default:
			p.get("Default").problem("a text")
		}
		r.names[p.name()] = value
	}
}

// evaluate returns an element's value with its intrinsic functions evaluated.
func (r *resolver) evaluate(e element) any {
	// Wrapped, since goformation expects a template: FindInMap looks into it.
	in, err := json.Marshal(map[string]any{"Value": e.value, "Mappings": r.root.get("Mappings").value})
	if err != nil {
		e.fail("%v", err)
		return nil
	}
	out, err := intrinsics.ProcessJSON(in, &intrinsics.ProcessorOptions{
		IntrinsicHandlerOverrides: map[string]intrinsics.IntrinsicHandler{
			"Ref":             r.ref,
			"Fn::Sub":         r.sub,
			"Fn::GetAtt":      r.getAtt,
			"Fn::If":          r.ifElse,
			"Fn::Split":       split,
			"Fn::Join":        join,
			"Fn::Select":      found(intrinsics.FnSelect),
			"Fn::FindInMap":   found(intrinsics.FnFindInMap),
			"Fn::Cidr":        unsupported,
			"Fn::ImportValue": unsupported,
			"Fn::Transform":   unsupported,
		},
	})
	if err != nil {
		e.fail("%v", err)
		return nil
	}
	var result struct{ Value any }
	if err := json.Unmarshal(out, &result); err != nil {
		e.fail("%v", err)
	}
	return result.Value
}

// found makes a handler that finds nothing say so.
func found(handler intrinsics.IntrinsicHandler) intrinsics.IntrinsicHandler {
	return func(function string, input, template any) any {
		if value := handler(function, input, template); value != nil {
			return value
		}
		return broken("%s finds nothing", function)
	}
}

func unsupported(function string, _, _ any) any {
	return broken("%s has no value on this machine", function)
}

func (r *resolver) ref(_ string, input, _ any) any {
	name, _ := input.(string)
	value, known := r.names[name]
	if !known {
		return broken("Ref %v: the template has no such parameter or resource", input)
	}
	return value
}

// getAtt takes "LogicalID.Attribute" or a list of the two.
func (r *resolver) getAtt(_ string, input, _ any) any {
	parts := strings.SplitN(fmt.Sprint(input), ".", 2)
	if list, ok := input.([]any); ok && len(list) == 2 {
		parts = []string{fmt.Sprint(list[0]), fmt.Sprint(list[1])}
	}
	if _, known := r.names[parts[0]]; !known || len(parts) != 2 {
		return broken("Fn::GetAtt %v: the template has no such resource", input)
	}
	return parts[0] + "." + parts[1]
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// sub takes a text, or a list of a text and a mapping of variables of its own.
func (r *resolver) sub(_ string, input, _ any) any {
	text, own := input, map[string]any{}
	if list, ok := input.([]any); ok && len(list) == 2 {
		text = list[0]
		own, _ = list[1].(map[string]any)
	}
	s, ok := text.(string)
	if !ok {
		return broken("Fn::Sub takes a text, or a list of a text and a mapping")
	}
	return variable.ReplaceAllStringFunc(s, func(found string) string {
		name := variable.FindStringSubmatch(found)[1]
		if literal, is := strings.CutPrefix(name, "!"); is {
			return "${" + literal + "}"
		}
		value, known := own[name]
		switch {
		case known:
		case strings.Contains(name, "."):
			value = r.getAtt("", name, nil)
		default:
			value = r.ref("", name, nil)
		}
		switch v := value.(type) {
		case string:
			return v
		case bool, float64:
			return scalar(v)
		}
		return broken("Fn::Sub: ${%s} is not a text", name)
	})
}

func (r *resolver) ifElse(_ string, input, _ any) any {
	list, ok := input.([]any)
	if !ok || len(list) != 3 {
		return broken("Fn::If takes a condition and two values")
	}
	if r.holds(element{r.root.doc, "Conditions." + fmt.Sprint(list[0]), list[0]}) {
		return list[1]
	}
	return list[2]
}

func split(_ string, input, _ any) any {
	if list, ok := input.([]any); ok && len(list) == 2 {
		delimiter, isText := list[0].(string)
		text, isText2 := list[1].(string)
		if isText && isText2 {
			var parts []any
			for part := range strings.SplitSeq(text, delimiter) {
				parts = append(parts, part)
			}
			return parts
		}
	}
	return broken("Fn::Split takes a delimiter and a text")
}

func join(_ string, input, _ any) any {
	list, _ := input.([]any)
	if len(list) == 2 {
		delimiter, isText := list[0].(string)
		items, isList := list[1].([]any)
		var parts []string
		for _, item := range items {
			switch v := item.(type) {
			case string:
				parts = append(parts, v)
			case bool, float64:
				parts = append(parts, scalar(v))
			default:
				isText = false
			}
		}
		if isText && isList {
			return strings.Join(parts, delimiter)
		}
	}
	return broken("Fn::Join takes a delimiter and a list of texts")
}

// holds evaluates a condition: a name, or a condition function.
func (r *resolver) holds(e element) bool {
	switch v := e.value.(type) {
	case string:
		return r.named(e, v)
	case map[string]any:
		for function, argument := range v {
			if len(v) == 1 {
				return r.function(e, function, argument)
			}
		}
	}
	e.fail("it is not a condition")
	return false
}

func (r *resolver) named(e element, name string) bool {
	if value, done := r.conditions[name]; done {
		return value
	}
	c := r.root.get("Conditions").get(name)
	switch {
	case c.absent():
		e.fail("there is no condition %s", name)
		return false
	case r.entered[name]:
		c.fail("it refers to itself")
		return false
	}
	r.entered[name] = true
	value := r.holds(c)
	r.conditions[name] = value
	return value
}

func (r *resolver) function(e element, function string, argument any) bool {
	if function == "Condition" {
		return r.holds(element{e.doc, e.path, argument})
	}
	list, _ := argument.([]any)
	var operands []element
	for _, v := range list {
		operands = append(operands, element{e.doc, e.path, v})
	}
	switch {
	case function == "Fn::Equals" && len(operands) == 2:
		var sides [2]string
		for i, o := range operands {
			sides[i] = element{e.doc, e.path, r.evaluate(o)}.text()
		}
		return sides[0] == sides[1]
	case function == "Fn::Not" && len(operands) == 1:
		return !r.holds(operands[0])
	case function == "Fn::And" && len(operands) > 0:
		all := true
		for _, o := range operands {
			all = r.holds(o) && all
		}
		return all
	case function == "Fn::Or" && len(operands) > 0:
		some := false
		for _, o := range operands {
			some = r.holds(o) || some
		}
		return some
	}
	e.fail("%s does not make a condition of this", function)
	return false
}

// scalar writes a number or a boolean as YAML has it.
func scalar(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
