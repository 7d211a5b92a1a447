# services.docent: the daemon as a unit that can do little, its settings checked when the system is built, its credentials
# never in the store.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.docent;
  format = pkgs.formats.toml { };

  # TOML has no null: what is not set is not written.
  written = format.generate "docent.toml" (lib.filterAttrsRecursive (_: value: value != null) cfg.settings);
  checked = pkgs.runCommand "docent-checked.toml" { } ''
    ${lib.getExe cfg.package} check --config ${written}
    cp ${written} $out
  '';
  configuration = if cfg.checkConfig then checked else written;

  # Every credential that a forge or a repository's [publish] names.
  named = lib.concatMap
    (forge: lib.filter (name: name != null) [ (forge.watch_credential or null) (forge.report_credential or null) ])
    (cfg.settings.forge or [ ])
    ++ lib.filter (name: name != null)
      (map (repository: repository.publish.publish_credential or null) (cfg.settings.repository or [ ]));
  missing = lib.filter (name: !(cfg.credentials ? ${name})) named;
  inStore = lib.filterAttrs (_: path: lib.hasPrefix builtins.storeDir path) cfg.credentials;
  relative = lib.filterAttrs (_: path: !(lib.hasPrefix "/" path)) cfg.credentials;
  names = lib.concatStringsSep ", ";

  socketUnit = if cfg.engine == "podman" then "podman.socket" else "docker.socket";
in
{
  options.services.docent = {
    enable = lib.mkEnableOption "docent, a CI orchestrator that looks and never touches";

    package = lib.mkPackageOption pkgs "docent" { };

    settings = lib.mkOption {
      default = { };
      description = ''
        What stands in {file}`docent.toml`. Keys that are not declared here are written as they are; an unknown one
        fails the build of the system, because `docent check` reads the file then.
      '';
      example = lib.literalExpression ''
        {
          public_url = "https://docent.example.org";
          forge = [{
            name = "example";
            kind = "forgejo";
            url = "https://git.example.org";
            watch_credential = "example-watch";
          }];
          repository = [{ forge = "example"; name = "astro/notebooks"; allow = [ "mira:1042" ]; }];
        }
      '';
      type = lib.types.submodule {
        freeformType = format.type;
        options = {
          state_dir = lib.mkOption {
            type = lib.types.str;
            default = "/var/lib/docent";
            description = "Where the database, the workspaces and the artifacts are. The unit may write nowhere else.";
          };
          listen = lib.mkOption {
            type = lib.types.str;
            default = "127.0.0.1:8440";
            description = "Address and port of the pages. Put a reverse proxy with TLS before it.";
          };
          public_url = lib.mkOption {
            type = lib.types.nullOr lib.types.str;
            default = null;
            description = "Where people find the pages; links in reports begin with it.";
          };
          recipe_path = lib.mkOption {
            type = lib.types.nullOr (lib.types.listOf lib.types.str);
            default = null;
            description = "Folders of recipes, looked through before the shipped ones.";
          };
          executor = lib.mkOption {
            default = { };
            description = "Where untrusted code runs.";
            type = lib.types.submodule {
              freeformType = format.type;
              options = {
                kind = lib.mkOption {
                  type = lib.types.enum [ "auto" "container" "sandbox" ];
                  default = if cfg.sandbox then "sandbox" else "container";
                  defaultText = lib.literalExpression ''if config.services.docent.sandbox then "sandbox" else "container"'';
                  description = "Containers of an engine, or the sandbox that needs none.";
                };
                slots = lib.mkOption {
                  type = lib.types.ints.positive;
                  default = 2;
                  description = "Jobs at a time.";
                };
              };
            };
          };
          forge = lib.mkOption {
            type = lib.types.listOf format.type;
            default = [ ];
            description = "Forges that are watched.";
          };
          repository = lib.mkOption {
            type = lib.types.listOf format.type;
            default = [ ];
            description = "Repositories that are watched.";
          };
        };
      };
    };

    credentials = lib.mkOption {
      # A string, not a path: a path would be copied into the store, which everybody can read.
      type = lib.types.attrsOf lib.types.str;
      default = { };
      example = { example-watch = "/run/secrets/docent-watch"; };
      description = ''
        Name of a credential → absolute path of the file that holds it, outside the store. systemd reads it as root and
        shows it to docent alone ({manpage}`systemd.exec(5)`, `LoadCredential=`).
      '';
    };

    engine = lib.mkOption {
      type = lib.types.nullOr (lib.types.enum [ "docker" "podman" ]);
      default = null;
      description = ''
        The container engine whose socket docent may use, by membership in the engine's group. Whoever may use the socket
        of an engine that runs as root can become root; the code under test never sees it.
      '';
    };

    sandbox = lib.mkOption {
      type = lib.types.bool;
      default = cfg.engine == null;
      defaultText = lib.literalExpression "config.services.docent.engine == null";
      description = ''
        Whether the unit may make namespaces and control groups, as the sandbox executor needs. Without it the unit is
        hardened further.
      '';
    };

    checkConfig = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = "Whether `docent check` reads the settings when the system is built. It needs no secret and no network.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = inStore == { };
        message = "services.docent.credentials: in the store, where everybody can read: ${names (lib.attrNames inStore)}. Give a path outside.";
      }
      {
        assertion = relative == { };
        message = "services.docent.credentials: not absolute: ${names (lib.attrNames relative)}.";
      }
      {
        assertion = missing == [ ];
        message = "services.docent.settings names credentials that services.docent.credentials has not: ${names missing}.";
      }
      {
        assertion = cfg.engine != null || cfg.sandbox;
        message = "services.docent: neither an engine nor the sandbox: there is no place where a job could run.";
      }
    ];

    # So that `docent runs` and `docent doctor` find the daemon without being told.
    environment.systemPackages = [ cfg.package ];
    environment.etc."docent/docent.toml".source = configuration;

    systemd.services.docent = {
      description = "docent, a CI orchestrator that looks and never touches";
      documentation = [ "man:systemd.exec(5)" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ] ++ lib.optional (cfg.engine != null) socketUnit;
      after = [ "network-online.target" ] ++ lib.optional (cfg.engine != null) socketUnit;
      path = [ pkgs.git ] ++ lib.optional cfg.sandbox pkgs.bubblewrap;
      environment = lib.optionalAttrs (cfg.engine == "podman") { DOCKER_HOST = "unix:///run/podman/podman.sock"; };
      serviceConfig = import ./hardening.nix { inherit (cfg) sandbox; } // {
        Type = "notify";
        ExecStart = "${lib.getExe cfg.package} serve --config ${configuration}";
        WatchdogSec = "60s";
        TimeoutStopSec = "60s";
        Restart = "on-failure";
        RestartSec = "5s";
        # A mistake in the configuration and a token that can write are not mended by trying again.
        RestartPreventExitStatus = [ 2 4 ];
        LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") cfg.credentials;
        SupplementaryGroups = lib.optional (cfg.engine != null) cfg.engine;
      };
    };
  };
}
