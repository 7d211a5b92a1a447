# What the unit may do, in two versions: with an engine docent itself needs almost nothing; with the sandbox it has to
# make namespaces and control groups for others. deploy/ says the same to everybody without NixOS, and tests/nix.rs
# compares the two key by key.
{ sandbox }:

{
  DynamicUser = true;
  StateDirectory = "docent";
  StateDirectoryMode = "0700";
  UMask = "0077";

  NoNewPrivileges = true;
  CapabilityBoundingSet = "";
  AmbientCapabilities = "";
  ProtectSystem = "strict";
  ProtectHome = true;
  PrivateTmp = true;
  PrivateDevices = true;
  ProtectClock = true;
  ProtectKernelModules = true;
  LockPersonality = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
  RemoveIPC = true;
  KeyringMode = "private";
  SystemCallArchitectures = "native";
  SystemCallErrorNumber = "EPERM";
  # Netlink tells which routes and addresses there are; the sandbox sets up its loopback by it.
  RestrictAddressFamilies = [ "AF_UNIX" "AF_INET" "AF_INET6" "AF_NETLINK" ];
}
// (if sandbox then {
  Delegate = true;
  # A /proc with places hidden cannot be mounted anew in a namespace, and the sandbox has to have its own.
  ProtectProc = "default";
  ProcSubset = "all";
  ProtectKernelTunables = false;
  ProtectKernelLogs = false;
  ProtectControlGroups = false;
  ProtectHostname = false;
  RestrictNamespaces = false;
  # Notebooks compile at run time (numba, JAX), and what runs in the sandbox inherits this.
  MemoryDenyWriteExecute = false;
  SystemCallFilter = [ "@system-service" "@mount" ];
} else {
  ProtectProc = "invisible";
  ProcSubset = "pid";
  ProtectKernelTunables = true;
  ProtectKernelLogs = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  RestrictNamespaces = true;
  MemoryDenyWriteExecute = true;
  SystemCallFilter = [ "@system-service" "~@privileged" ];
})
