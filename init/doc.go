// Package boot is what happens between exec and ready: the steps that turn a
// bare container into a machine one can log in to, in the order in which
// cmd/init lists them.
//
// The folder is called init, the package boot, because a package init cannot be
// imported by its name.
package boot
