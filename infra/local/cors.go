package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"rekindle/internal/template"
)

// corsPolicy is API Gateway's CorsConfiguration. Where one is set, API Gateway
// answers preflights itself and overwrites what functions say of CORS, on errors
// too.
type corsPolicy template.CORS

// origin returns the value of Access-Control-Allow-Origin for a request's
// Origin; empty if it is not allowed.
func (c corsPolicy) origin(asked string) string {
	switch {
	case asked == "":
		return ""
	case slices.Contains(c.AllowOrigins, "*"):
		return "*"
	case slices.Contains(c.AllowOrigins, asked):
		return asked
	}
	return ""
}

// preflight answers an OPTIONS request of a browser, and says whether it did.
func (c corsPolicy) preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if origin := c.origin(r.Header.Get("Origin")); origin != "" {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ","))
		h.Set("Access-Control-Allow-Headers", strings.ToLower(strings.Join(c.AllowHeaders, ",")))
		h.Set("Access-Control-Max-Age", strconv.Itoa(c.MaxAge))
		h.Set("Vary", "Origin")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// apply sets the CORS headers of an ordinary answer.
func (c corsPolicy) apply(h http.Header, asked string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			h.Del(name)
		}
	}
	if origin := c.origin(asked); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", strings.ToLower(strings.Join(c.ExposeHeaders, ",")))
		h.Add("Vary", "Origin")
	}
}
