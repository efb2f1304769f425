package unitfile

import "strings"

// The directives that systemd has up to version 258, and init does not carry out.
// They are text, taken apart when they are needed: a map would cost every start
// of the program.

// unappliedUnit are those of systemd.unit(5).
const unappliedUnit = "Requisite RequisiteOverridable JobRunningTimeoutSec JobTimeoutSec JoinsNamespaceOf OnFailure OnSuccess PropagatesStopTo " +
	"StopPropagatedFrom"

// unappliedService are those of systemd.service(5) and systemd.kill(5).
const unappliedService = "ExecReloadPost ExitType ExtraFileDescriptors FileDescriptorStorePreserve NonBlocking OOMPolicy OpenFile " +
	"RefreshOnReload RestartMode RootDirectoryStartOnly RuntimeMaxSec RuntimeRandomizedExtraSec " +
	"TimeoutAbortSec TimeoutStartFailureMode TimeoutStopFailureMode USBFunctionDescriptors USBFunctionStrings"

// unappliedExec are those of systemd.exec(5) and systemd.resource-control(5), which sockets have too.
const unappliedExec = "AllowedCPUs AllowedMemoryNodes AmbientCapabilities AppArmorProfile BPFDelegateAttachments " +
	"BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms BPFProgram BindNetworkInterface BindPaths " +
	"BindReadOnlyPaths BlockIODeviceWeight BlockIOReadBandwidth BlockIOWeight BlockIOWriteBandwidth CPUAffinity " +
	"CPUPressureThresholdSec CPUPressureWatch CPUQuota CPUQuotaPeriodSec CPUSchedulingPolicy " +
	"CPUSchedulingPriority CPUSchedulingResetOnFork CPUSetPartition CPUShares CPUWeight CacheDirectoryAccounting " +
	"CacheDirectoryQuota CapabilityBoundingSet CoredumpFilter CoredumpReceive DefaultMemoryLow DefaultMemoryMin " +
	"DefaultStartupMemoryLow Delegate DelegateSubgroup DeviceAllow DevicePolicy DisableControllers DynamicUser " +
	"ExecPaths ExecSearchPath ExtensionDirectories ExtensionImagePolicy ExtensionImages FinalKillSignal " +
	"IODeviceLatencyTargetSec IODeviceWeight IOPressureThresholdSec IOPressureWatch IOReadBandwidthMax " +
	"IOReadIOPSMax IOSchedulingClass IOSchedulingPriority IOWeight IOWriteBandwidthMax IOWriteIOPSMax " +
	"IPAddressAllow IPAddressDeny IPCNamespacePath IPEgressFilterPath IPIngressFilterPath ImportCredential " +
	"InaccessibleDirectories InaccessiblePaths KeyringMode LoadCredentialEncrypted LockPersonality LogExtraFields " +
	"LogFilterPatterns LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec LogsDirectoryAccounting " +
	"LogsDirectoryQuota ManagedOOMMemoryPressure ManagedOOMMemoryPressureDurationSec " +
	"ManagedOOMMemoryPressureLimit ManagedOOMPreference ManagedOOMSwap MemoryDenyWriteExecute MemoryHigh " +
	"MemoryKSM MemoryLimit MemoryLow MemoryMax MemoryMin MemoryPressureThresholdSec MemoryPressureWatch " +
	"MemorySwapMax MemoryTHP MemoryZSwapMax MemoryZSwapWriteback MountAPIVFS MountFlags MountImagePolicy " +
	"MountImages NFTSet NUMAMask NUMAPolicy NetworkNamespacePath NoExecPaths PAMName Personality PrivateBPF " +
	"PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp PrivateUsers ProcSubset " +
	"ProtectClock ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules " +
	"ProtectKernelTunables ProtectProc ProtectSystem ReadOnlyDirectories ReadOnlyPaths ReadWriteDirectories " +
	"ReadWritePaths RemoveIPC RestartKillSignal RestrictAddressFamilies RestrictFileSystems RestrictNamespaces " +
	"RestrictNetworkInterfaces RestrictRealtime RestrictSUIDSGID RootDirectory RootEphemeral RootHash " +
	"RootHashSignature RootImage RootImageOptions RootImagePolicy RootMStack RootVerity SELinuxContext SecureBits " +
	"SetCredential SetCredentialEncrypted SetLoginEnvironment Slice SmackProcessLabel SocketBindAllow " +
	"SocketBindDeny StandardInputData StandardInputText StartupAllowedCPUs StartupAllowedMemoryNodes " +
	"StartupBlockIOWeight StartupCPUShares StartupCPUWeight StartupIOWeight StartupMemoryHigh StartupMemoryLow " +
	"StartupMemoryMax StartupMemorySwapMax StartupMemoryZSwapMax StateDirectoryAccounting StateDirectoryQuota " +
	"SystemCallArchitectures SystemCallErrorNumber SystemCallFilter SystemCallLog TTYColumns TTYPath TTYReset " +
	"TTYRows TTYVHangup TTYVTDisallocate TasksMax TemporaryFileSystem TimerSlackNSec UserNamespacePath " +
	"WatchdogSignal"

// unappliedSocket are those of systemd.socket(5).
const unappliedSocket = "AcceptFileDescriptors Backlog BindIPv6Only BindToDevice Broadcast DeferAcceptSec DeferTrigger " +
	"DeferTriggerMaxSec DirectoryMode ExecStartPost ExecStartPre ExecStopPost ExecStopPre FreeBind IPTOS IPTTL " +
	"KeepAlive KeepAliveIntervalSec KeepAliveProbes KeepAliveTimeSec ListenFIFO ListenMessageQueue ListenNetlink " +
	"ListenSpecial ListenUSBFunction Mark MaxConnections MaxConnectionsPerSource MessageQueueMaxMessages " +
	"MessageQueueMessageSize NoDelay PassCredentials PassFileDescriptorsToExec PassPIDFD PassPacketInfo " +
	"PassSecurity PipeSize PollLimitBurst PollLimitIntervalSec Priority ReceiveBuffer ReusePort " +
	"SELinuxContextFromNet SendBuffer SmackLabel SmackLabelIPIn SmackLabelIPOut SocketProtocol Symlinks " +
	"TCPCongestion TimeoutSec Timestamping Transparent TriggerLimitBurst TriggerLimitIntervalSec Writable " +
	"XAttrAccept XAttrEntryPoint XAttrListen"

// silent are the directives that lose nothing by having no effect: texts for
// people, bookkeeping of systemd's own, and what is so here anyway.
const silentUnit = "AllowIsolate CollectMode DefaultDependencies Documentation IgnoreOnIsolate JobTimeoutAction " +
	"JobTimeoutRebootArgument OnFailureIsolate OnFailureJobMode OnSuccessJobMode RebootArgument RefuseManualStart " +
	"RefuseManualStop RequiresMountsFor SourcePath StopWhenUnneeded SurviveFinalKillSignal WantsMountsFor"

const silentService = "BlockIOAccounting CPUAccounting GuessMainPID IOAccounting IPAccounting IgnoreSIGPIPE MemoryAccounting " +
	"PassEnvironment PermissionsStartOnly RebootArgument SyslogFacility SyslogIdentifier SyslogLevel " +
	"SyslogLevelPrefix TasksAccounting TimeoutCleanSec UtmpIdentifier UtmpMode"

const silentSocket = "FlushPending RemoveOnStop"

// conditions are what stands behind Condition and Assert.
const conditions = "ACPower Architecture CPUFeature CPUPressure CPUs Capability ControlGroupController Credential " +
	"DirectoryNotEmpty Environment FileIsExecutable FileNotEmpty Firmware FirstBoot Fraction Group Host " +
	"IOPressure KernelCommandLine KernelModuleLoaded KernelVersion Memory MemoryPressure NeedsUpdate OSRelease " +
	"PathExists PathExistsGlob PathIsDirectory PathIsEncrypted PathIsMountPoint PathIsReadWrite PathIsSocket " +
	"PathIsSymbolicLink Security User Version Virtualization"

// has says whether a list of words has one.
func has(list, word string) bool {
	return word != "" && strings.Contains(" "+list+" ", " "+word+" ")
}
