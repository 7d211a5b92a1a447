# The module's answer to several systems, and the package's description, as JSON for tests/nix.rs.
let
  stub = import ./stub.nix;
  inherit (stub) lib pkgs;

  # What a system with these definitions gets from the module.
  system = defined:
    let
      module = import ../module.nix { inherit config lib pkgs; };
      config.services.docent = stub.fill "services.docent" module.options.services.docent defined;
      result = module.config;
      source = result.environment.etc."docent/docent.toml".source;
    in
    if result == { } then { } else {
      unit = result.systemd.services.docent;
      written = source.value or null;
      check = source.script or null;
      refused = map (entry: entry.message) (builtins.filter (entry: !entry.assertion) result.assertions);
    };
  # Whether a type refuses the definition.
  # Unchecked, because then the settings stand in the answer and are evaluated with it.
  isRefused = defined: !(builtins.tryEval (builtins.deepSeq (system (defined // { checkConfig = false; })) true)).success;

  forge = { name = "example"; kind = "forgejo"; url = "https://git.example.org"; watch_credential = "example-watch"; };
  watch = "/run/secrets/docent-watch";
in
{
  off = system { };
  docker = system {
    enable = true;
    engine = "docker";
    settings.forge = [ forge ];
    credentials.example-watch = watch;
  };
  podman = system { enable = true; engine = "podman"; };
  sandbox = system { enable = true; };
  unchecked = system { enable = true; checkConfig = false; };
  credentialInStore = system { enable = true; credentials.example-watch = "${builtins.storeDir}/abc-watch"; };
  credentialRelative = system { enable = true; credentials.example-watch = "watch"; };
  credentialMissing = system { enable = true; settings.forge = [ forge ]; };
  publishMissing = system {
    enable = true;
    settings.forge = [ forge ];
    settings.repository = [
      { forge = "example"; name = "astro/notebooks"; publish = { to = "registry.example.org/astro/images"; publish_credential = "example-publish"; }; }
      { forge = "example"; name = "astro/others"; }
    ];
    credentials.example-watch = watch;
  };
  nowhere = system { enable = true; sandbox = false; };
  pathAsCredential = isRefused { enable = true; credentials.example-watch = ./stub.nix; };
  noSlots = isRefused { enable = true; settings.executor.slots = 0; };
  unknownExecutor = isRefused { enable = true; settings.executor.kind = "magic"; };

  package =
    let
      described = import ../package.nix {
        inherit lib;
        inherit (pkgs) git bubblewrap;
        rustPlatform.buildRustPackage = description: description;
        makeWrapper = "makeWrapper";
      };
    in
    { inherit (described) pname version meta; };
}
