package unitfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fleek-platform/nix2vast/services"
)

// FuzzUnit wants that no text is too odd for Check, that what it takes for good
// is a good service, and that Format says all of it.
func FuzzUnit(f *testing.F) {
	files, err := filepath.Glob("testdata/units/*.s*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	svc := full()
	f.Add([]byte(Format(svc)))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Check("x.socket", b)
		list, err := Check("x@y.service", b)
		if len(list) == 0 {
			if err == nil {
				t.Fatal("neither a service nor a problem")
			}
			return
		}
		first := list[0]
		if err := first.Validate(); err != nil {
			t.Fatal(err)
		}
		text := Format(first)
		list, err = Check("x@y.service", []byte(text))
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, from\n%s", err, text)
		}
		if a, b := said(t, first), said(t, list[0]); !reflect.DeepEqual(a, b) {
			t.Fatalf("%v\ncame back as\n%v\nfrom\n%s", a, b, text)
		}
	})
}

// said is a service as JSON says it.
func said(t *testing.T, svc services.Service) string {
	t.Helper()
	b, err := json.Marshal(svc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
