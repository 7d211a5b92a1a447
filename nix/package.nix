# The program, with what it calls on its path: git always, bubblewrap for the sandbox.
{ lib, rustPlatform, makeWrapper, git, bubblewrap }:

rustPlatform.buildRustPackage {
  pname = "docent";
  version = (lib.importTOML ../Cargo.toml).package.version;

  # Only what the program is made of: a changed document builds nothing anew.
  src = lib.fileset.toSource {
    root = ./..;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      (lib.fileset.maybeMissing ../askama.toml)
      (lib.fileset.maybeMissing ../build.rs)
      ../src
      (lib.fileset.maybeMissing ../recipes)
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ makeWrapper ];
  nativeCheckInputs = [ git ];
  # The other tests want an engine, a forge or the whole tree; CI runs them.
  cargoTestFlags = [ "--lib" ];

  postInstall = ''
    if [ -d recipes ]; then
      mkdir -p $out/share/docent
      cp -r recipes $out/share/docent/
    fi
    wrapProgram $out/bin/docent --prefix PATH : ${lib.makeBinPath [ git bubblewrap ]}
  '';

  meta = {
    description = "A CI orchestrator for notebook repositories that looks and never touches";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "docent";
    platforms = lib.platforms.linux;
  };
}
