package engine

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// ghTime is for how long gh may take: it may ask a keyring, and that a person.
const ghTime = 30 * time.Second

// GitHubToken returns the token that the program gh is logged in with at github.com, or ""
// where there is no gh, or nobody is logged in.
func GitHubToken(ctx context.Context) (string, error) {
	path, err := exec.LookPath("gh")
	if errors.Is(err, exec.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for gh: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, ghTime)
	defer stop()
	// What gh writes to its standard error is for its own users: it may tell of the token.
	out, err := exec.CommandContext(ctx, path, "auth", "token", "--hostname", "github.com").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("running gh auth token: %w", errors.Join(err, ctx.Err()))
	}
	return strings.TrimSpace(string(out)), nil
}
