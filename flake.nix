{
  description = "docent: a CI orchestrator for notebook repositories that looks and never touches";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forEachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forEachSystem (pkgs: rec {
        docent = pkgs.callPackage ./nix/package.nix { };
        default = docent;
      });

      overlays.default = final: _previous: { docent = final.callPackage ./nix/package.nix { }; };

      # The module takes the package of this flake, whatever the system's nixpkgs has.
      nixosModules.default = { lib, pkgs, ... }: {
        imports = [ ./nix/module.nix ];
        services.docent.package = lib.mkDefault self.packages.${pkgs.stdenv.hostPlatform.system}.docent;
      };

      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (pkgs.callPackage ./nix/package.nix { }) ];
          packages = with pkgs; [ bubblewrap cargo-deny clippy git go gnumake python3 rustfmt shellcheck ];
        };
      });
    };
}
