package boot

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
)

// apiDocument is the part of openapi.yaml that can be compared with the program.
type apiDocument struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name string `yaml:"name"`
			Ref  string `yaml:"$ref"`
		} `yaml:"parameters"`
		Responses map[string]any `yaml:"responses"`
	} `yaml:"paths"`
	Components struct {
		Schemas map[string]struct {
			Required   []string       `yaml:"required"`
			Properties map[string]any `yaml:"properties"`
		} `yaml:"schemas"`
	} `yaml:"components"`
}

func readAPI(t *testing.T) (doc apiDocument, text string) {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc, string(b)
}

func TestTheDocumentHasEveryRoute(t *testing.T) {
	doc, _ := readAPI(t)
	var written, real []string
	for path, methods := range doc.Paths {
		for method, is := range methods {
			written = append(written, strings.ToUpper(method)+" "+path)
			if len(is.Responses) < 2 || is.Responses["200"] == nil {
				t.Errorf("%s %s has the responses %v", method, path, is.Responses)
			}
		}
	}
	for _, r := range (control{&Container{}}).routes() {
		real = append(real, r.method+" "+r.path)
	}
	slices.Sort(written)
	slices.Sort(real)
	if !slices.Equal(written, real) {
		t.Errorf("openapi.yaml has\n%q\nand the program\n%q", written, real)
	}
}

func TestTheDocumentHasEveryField(t *testing.T) {
	doc, text := readAPI(t)
	for name, v := range map[string]any{
		"Status": Status{}, "Step": StepStatus{}, "Service": services.Status{}, "Line": services.Line{},
		"Top": Top{}, "Usage": Usage{}, "Reloaded": Reloaded{}, "Enabled": Enabled{},
		"Tailnet": wire.Status{},
	} {
		schema := doc.Components.Schemas[name]
		var fields, always []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || key == "" {
				continue
			}
			fields = append(fields, key)
			if options == "" {
				always = append(always, key)
			}
		}
		slices.Sort(fields)
		if written := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(written, fields) {
			t.Errorf("%s: openapi.yaml has\n%q\nand the program\n%q", name, written, fields)
		}
		for _, key := range schema.Required {
			if !slices.Contains(always, key) {
				t.Errorf("%s: %s is not always there, as openapi.yaml says", name, key)
			}
		}
	}
	for ref := range strings.SplitSeq(text, `$ref: "#/components/`) {
		kind, name, ok := strings.Cut(ref, "/")
		name, _, _ = strings.Cut(name, `"`)
		if ok && kind == "schemas" && !strings.Contains(text, "\n    "+name+":") {
			t.Errorf("openapi.yaml refers to %s, which it does not have", name)
		}
	}
}

func TestCodesOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{badRequest("what"), http.StatusBadRequest},
		{notAllowed("no"), http.StatusForbidden},
		{ours(&services.UnknownError{Name: "x"}), http.StatusNotFound},
		{fmt.Errorf("reloading: %w", &refusedError{[]string{"x"}}), http.StatusUnprocessableEntity},
		{errors.Join(&services.Problem{File: "x", Text: "bad"}), http.StatusUnprocessableEntity},
		{services.ErrOver, http.StatusServiceUnavailable},
		{errors.New("it has no process"), http.StatusConflict},
	} {
		if got := codeOf(c.err); got != c.code {
			t.Errorf("%v is %d, want %d", c.err, got, c.code)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 19, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                     {},
		"10m":                  now.Add(-10 * time.Minute),
		"-10m":                 now.Add(-10 * time.Minute),
		"2026-11-23T18:30:00Z": now.Add(-30 * time.Minute),
		"2026-11-23 18:30:00":  now.Add(-30 * time.Minute),
		"2026-11-23 18:30":     now.Add(-30 * time.Minute),
		"2026-11-23":           now.Add(-19 * time.Hour),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "10", "2026-13-01", "10 minutes"} {
		if got, err := parseSince(text, now); err == nil || !strings.Contains(err.Error(), "such as 10m nor a time such as 2026-11-23T19:00:00Z") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]int{"HUP": 1, "SIGHUP": 1, "hup": 1, "9": 9, "64": 64, "0": 0, "65": 0, "-1": 0, "": 0, "FOO": 0, "SIG": 0} {
		if got := ParseSignal(text); int(got) != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}
