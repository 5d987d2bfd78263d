package template

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Lambda's own defaults.
const (
	defaultTimeout  = 3 // seconds
	defaultMemoryMB = 128
)

// read returns what a template with evaluated intrinsic functions declares.
func (d *document) read(root element) *Template {
	if d.err != nil {
		return nil
	}
	t := &Template{}
	apis := map[string]element{}
	for _, resource := range root.get("Resources").each() {
		switch resource.get("Type").required() {
		case "AWS::Serverless::HttpApi":
			if len(apis) > 0 {
				resource.fail("a template has one AWS::Serverless::HttpApi")
			}
			apis[resource.name()] = resource
			t.CORS = readCORS(resource.get("Properties").get("CorsConfiguration"))
		case "AWS::DynamoDB::Table":
			t.Tables = append(t.Tables, readTable(resource))
		case "AWS::Serverless::Function":
			t.Functions = append(t.Functions, readFunction(root.get("Globals").get("Function"), resource))
		}
	}
	for _, f := range t.Functions {
		for _, event := range root.get("Resources").get(f.LogicalID).get("Properties").get("Events").each() {
			t.readEvent(event, f.LogicalID, apis)
		}
	}
	return t
}

func readFunction(globals, resource element) Function {
	id, p := resource.name(), resource.get("Properties")
	p.value = merge(globals.mapping(), p.mapping())
	f := Function{
		LogicalID: id, Environment: map[string]string{},
		Timeout:  time.Duration(p.get("Timeout").number(defaultTimeout)) * time.Second,
		MemoryMB: p.get("MemorySize").number(defaultMemoryMB),
	}
	f.CodeURI = p.get("CodeUri").required()
	for _, v := range p.get("Environment").get("Variables").each() {
		// A variable that is AWS::NoValue is not set.
		if !v.absent() {
			f.Environment[v.name()] = v.text()
		}
	}
	return f
}

// merge joins a function's properties to the global ones as SAM does: mappings
// member by member, lists one after the other, and else the function's own.
func merge(global, own any) any {
	switch o := own.(type) {
	case nil:
		return global
	case map[string]any:
		g, ok := global.(map[string]any)
		if !ok {
			return own
		}
		joined := maps.Clone(g)
		if joined == nil {
			joined = map[string]any{}
		}
		for name, value := range o {
			if _, both := g[name]; both {
				value = merge(g[name], value)
			}
			joined[name] = value
		}
		return joined
	case []any:
		if g, ok := global.([]any); ok {
			return slices.Concat(g, o)
		}
	}
	return own
}

// readEvent adds what an event of a function says: a route or a schedule.
// Events of other services are passed over, for on this machine nobody sends
// them.
func (t *Template) readEvent(event element, function string, apis map[string]element) {
	p := event.get("Properties")
	switch event.get("Type").required() {
	case "HttpApi":
		t.readRoute(p, function, apis)
	case "Schedule":
		t.readSchedule(p, function)
	case "Api", "ScheduleV2":
		event.get("Type").fail("only HttpApi and Schedule events are served here")
	}
}

var (
	methods = []string{"ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
	// path is / or segments, of which any may be a {parameter} and the last a
	// {parameter+}.
	path = regexp.MustCompile(`^/$|^(/([^/{}]+|\{\w+\}))*(/\{\w+\+\})?$`)
)

func (t *Template) readRoute(p element, function string, apis map[string]element) {
	if api := p.get("ApiId"); api.absent() {
		api.fail("it is missing")
	} else if _, there := apis[api.text()]; !there {
		api.fail("%q is no AWS::Serverless::HttpApi of this template", api.text())
	}
	route := Route{Method: strings.ToUpper(p.get("Method").text()), Path: p.get("Path").text(), Function: function}
	switch {
	case route.Path == "" && route.Method == "", route.Path == DefaultPath:
		// Without Method and Path SAM makes the default route.
		route.Method, route.Path = "", DefaultPath
	case !path.MatchString(route.Path) || route.Path == "":
		p.get("Path").fail("it must begin with / and may have whole segments as {parameters}; it is %q", route.Path)
	case !slices.Contains(methods, route.Method):
		p.get("Method").fail("it must be one of %s; it is %q", strings.Join(methods, ", "), route.Method)
	}
	for _, other := range t.Routes {
		if other.Method == route.Method && other.Path == route.Path {
			p.get("Path").fail("%s has this route already", other.Function)
		}
	}
	t.Routes = append(t.Routes, route)
}

var rate = regexp.MustCompile(`^rate\(([1-9][0-9]{0,8}) (minute|hour|day)(s?)\)$`)

func (t *Template) readSchedule(p element, function string) {
	s := Schedule{Function: function, Input: p.get("Input").text()}
	if s.Input != "" && !json.Valid([]byte(s.Input)) {
		p.get("Input").fail("it is not JSON")
	}
	expression := p.get("Schedule")
	found := rate.FindStringSubmatch(expression.required())
	// EventBridge refuses "1 hours" and "2 hour".
	if found == nil || (found[1] == "1") != (found[3] == "") {
		expression.fail("only rate(1 minute), rate(2 minutes) and the like, in minutes, hours or days, are supported; it is %q", expression.value)
		return
	}
	n, _ := strconv.Atoi(found[1])
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[found[2]]
	if n > 36_500 {
		expression.fail("it is too long")
	}
	s.Every = time.Duration(n) * unit
	if p.get("Enabled").value != false && p.get("State").value != "DISABLED" {
		t.Schedules = append(t.Schedules, s)
	}
}

func readCORS(e element) CORS {
	switch e.value {
	case nil, false:
		return CORS{}
	case true:
		return CORS{AllowOrigins: []string{"*"}}
	}
	known := []string{"AllowOrigins", "AllowHeaders", "AllowMethods", "ExposeHeaders", "MaxAge"}
	for _, member := range e.each() {
		if !slices.Contains(known, member.name()) {
			member.fail("only %s are known here", strings.Join(known, ", "))
		}
	}
	c := CORS{
		AllowOrigins: e.get("AllowOrigins").texts(), AllowHeaders: e.get("AllowHeaders").texts(),
		AllowMethods: e.get("AllowMethods").texts(), ExposeHeaders: e.get("ExposeHeaders").texts(),
		MaxAge: e.get("MaxAge").number(0),
	}
	for i, m := range c.AllowMethods {
		c.AllowMethods[i] = strings.ToUpper(m)
	}
	return c
}

func readTable(resource element) Table {
	id, p := resource.name(), resource.get("Properties")
	t := Table{LogicalID: id, Name: p.get("TableName").text(), Attributes: map[string]string{}}
	if t.Name == "" {
		t.Name = id
	}
	for _, a := range p.get("AttributeDefinitions").list() {
		kind := a.get("AttributeType")
		if !slices.Contains([]string{"S", "N", "B"}, kind.required()) {
			kind.fail("it must be S, N or B; it is %q", kind.text())
		}
		t.Attributes[a.get("AttributeName").required()] = kind.text()
	}
	t.HashKey, t.RangeKey = readKeys(p.get("KeySchema"), t.Attributes)
	for _, indexes := range []element{p.get("LocalSecondaryIndexes"), p.get("GlobalSecondaryIndexes")} {
		for _, i := range indexes.list() {
			index := Index{
				Name: i.get("IndexName").required(), Global: indexes.name() == "GlobalSecondaryIndexes",
				Projection: i.get("Projection").get("ProjectionType").required(),
				Include:    i.get("Projection").get("NonKeyAttributes").texts(),
			}
			index.HashKey, index.RangeKey = readKeys(i.get("KeySchema"), t.Attributes)
			t.Indexes = append(t.Indexes, index)
		}
	}
	if ttl := p.get("TimeToLiveSpecification"); ttl.get("Enabled").value == true {
		t.TTLAttribute = ttl.get("AttributeName").required()
	}
	return t
}

func readKeys(schema element, attributes map[string]string) (hash, rng string) {
	for _, k := range schema.list() {
		name := k.get("AttributeName")
		if _, defined := attributes[name.required()]; !defined {
			name.fail("%q is not among the AttributeDefinitions", name.text())
		}
		switch kind := k.get("KeyType"); kind.required() {
		case "HASH":
			hash = name.text()
		case "RANGE":
			rng = name.text()
		default:
			kind.fail("it must be HASH or RANGE; it is %q", kind.text())
		}
	}
	if hash == "" {
		schema.fail("it has no HASH key")
	}
	return hash, rng
}
