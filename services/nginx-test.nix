# See testdata/nginx.json and nginx.conf.
{
  services.nginx.web = {
    enable = true;
    serverConfig = "location / { return 200 'here it is'; }";
    httpConfig = "server { listen 127.0.0.1:8081; return 204; }";
    eventsConfig = "worker_connections 64;";
  };
}
