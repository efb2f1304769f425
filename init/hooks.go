package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
)

// The hooks of an image are oneshots that config/hooks.nix makes. For most of them
// Before and After are enough; these two are about all services, whichever way
// somebody defined those.
const (
	hookPreServices = "hook-pre-services" // all others of the image start after it
	hookPostReady   = "hook-post-ready"   // Disabled: started once the boot is over
)

// settingUp are the services of an image that set up the box and nothing of its
// author's: they do not wait for hookPreServices.
var settingUp = []string{"home", "hook-boot", "hook-gpu", "hook-pre-gpu", hookPreServices, hookPostReady}

// precedes says whether a service of the config is Before one of the boot, which
// then cannot be started before the definitions are read.
func precedes(config image.Config, name string) bool {
	quoted := []byte(`"` + name + `"`)
	for _, raw := range config.Services {
		if !bytes.Contains(raw, quoted) { // sshd waits for us: most need not be decoded twice
			continue
		}
		var svc struct{ Before []string }
		if err := json.Unmarshal(raw, &svc); err == nil && slices.Contains(svc.Before, name) {
			return true
		}
	}
	return false
}

// awaitHooks has the services of an image start after its hook preServices has ended,
// well or not. Who names the hook postReady starts without: the box is not ready
// before that service, nor the hook done before the box is ready.
func awaitHooks(list []services.Service) error {
	has := func(name string) bool {
		return slices.ContainsFunc(list, func(svc services.Service) bool { return svc.Name == name })
	}
	if has(hookPreServices) {
		for i := range list {
			if svc := &list[i]; !slices.Contains(settingUp, svc.Name) && !slices.Contains(svc.After, hookPreServices) {
				svc.After = append(slices.Clip(svc.After), hookPreServices)
			}
		}
	}
	if !has(hookPostReady) {
		return nil
	}
	var errs []error
	for _, name := range forget(list, hookPostReady) {
		errs = append(errs, placed(list, fmt.Errorf("service %s: starts without %s, which runs once all services are ready",
			name, hookPostReady)))
	}
	return errors.Join(errs...)
}

// startPostReady starts the hook that waits for the end of the boot. Who started it
// by hand before has had it.
func (c *Container) startPostReady(ctx context.Context, st Status) {
	if !slices.ContainsFunc(st.Services, unstartedHook) {
		return
	}
	if err := c.Supervisor.Start(ctx, hookPostReady); err != nil && !errors.Is(err, services.ErrOver) {
		c.Log.Warn("starting "+hookPostReady, zap.Error(err))
	}
}

// unstartedHook says whether a service is the hook postReady, and nobody has started it.
func unstartedHook(s services.Status) bool {
	return s.Name == hookPostReady && s.Disabled && s.State == services.Stopped
}
