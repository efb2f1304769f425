package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Read reads a plan and refuses what it does not know, and one that is not valid.
func Read(path string) (Plan, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Plan{}, fmt.Errorf("reading the plan: %w", err)
	}
	p, err := Parse(b)
	if err != nil {
		return Plan{}, fmt.Errorf("reading the plan %s: %w", path, err)
	}
	return p, nil
}

// Parse decodes one plan and validates it.
func Parse(b []byte) (Plan, error) {
	var p Plan
	if err := decode(b, &p); err != nil {
		var version struct{ Version int }
		if json.Unmarshal(b, &version) == nil && version.Version > Version {
			return Plan{}, newer(version.Version) // what it does not know is no misspelling
		}
		return Plan{}, err
	}
	if p.Version != Version {
		return Plan{}, newer(p.Version)
	}
	return p, Validate(p)
}

func newer(version int) error {
	return fmt.Errorf("its version is %d, this program reads version %d", version, Version)
}

// decode refuses fields that it does not know, and anything behind the JSON.
func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is text behind the JSON object")
	}
	return nil
}

// Marshal writes a plan as Parse reads it. The same plan is the same bytes.
func (p Plan) Marshal() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("writing the plan: %w", err)
	}
	return b.Bytes(), nil
}
