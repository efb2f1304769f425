# See testdata/ollama.json.
{
  services.ollama = {
    chat = {
      enable = true;
      host = "::";
      models = [ "llama3.2" "qwen3:8b" ];
      environment.OLLAMA_FLASH_ATTENTION = "1";
    };
    plain = {
      enable = true;
      port = 11435;
      acceleration = false;
    };
  };
}
